Console.WriteLine("naru-proxy");
