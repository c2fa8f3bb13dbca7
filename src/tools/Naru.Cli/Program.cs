Console.WriteLine("naru");
