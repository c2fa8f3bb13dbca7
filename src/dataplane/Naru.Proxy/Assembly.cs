// The data path clears no stack memory that it is about to write.
[module: System.Runtime.CompilerServices.SkipLocalsInit]
