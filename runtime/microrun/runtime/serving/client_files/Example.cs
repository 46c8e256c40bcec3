// Encode patterns by `microrun serve` from C#. Build microrun_client.dll (or libmicrorun_client.so) as its header says,
// put it beside the program, then: dotnet run
using System;
using System.Runtime.InteropServices;

static class Microrun
{
    const string Library = "microrun_client";
    const CallingConvention C = CallingConvention.Cdecl;

    public const int Full = -5, End = -10, Counts = 9;

    [DllImport(Library, CallingConvention = C, CharSet = CharSet.Ansi)]
    public static extern int mr_open(string tokenFile, string name, int rows, int cols, int height, int width,
                                     int pixelBytes, double stepUm, out IntPtr scan);

    [DllImport(Library, CallingConvention = C)]
    public static extern int mr_push(IntPtr scan, ulong index, ushort[] pattern, int timeoutMs);

    [DllImport(Library, CallingConvention = C)]
    public static extern IntPtr mr_slot(IntPtr scan, int timeoutMs);

    [DllImport(Library, CallingConvention = C)]
    public static extern int mr_commit(IntPtr scan, ulong index);

    [DllImport(Library, CallingConvention = C)]
    public static extern int mr_latents(IntPtr scan, ulong[] indices, float[] latents, int limit, int timeoutMs);

    [DllImport(Library, CallingConvention = C)]
    public static extern int mr_status(IntPtr scan, ulong[] counts);

    [DllImport(Library, CallingConvention = C)]
    public static extern int mr_finish(IntPtr scan);

    [DllImport(Library, CallingConvention = C)]
    public static extern void mr_close(IntPtr scan);

    [DllImport(Library, CallingConvention = C)]
    static extern IntPtr mr_message(IntPtr scan);

    public static string Message(IntPtr scan) { return Marshal.PtrToStringUTF8(mr_message(scan)); }
}

static class Program
{
    static int Main()
    {
        const int rows = 20, cols = 30, height = 480, width = 480, atOnce = 256;
        IntPtr scan;
        int size = Microrun.mr_open(null, null, rows, cols, height, width, 2, 0.5, out scan);
        try
        {
            if (size < 0) return Fail(scan, "open");
            Console.WriteLine("latents go to " + Microrun.Message(scan));
            var pattern = new ushort[height * width];
            var indices = new ulong[atOnce];
            var latents = new float[atOnce * size];
            for (int i = 0; i < rows * cols; i++)
            {
                for (int p = 0; p < pattern.Length; p++) pattern[p] = (ushort)((p * 31 + i * 17) & 4095); // your camera
                int code = Microrun.mr_push(scan, (ulong)i, pattern, 0);
                if (code != 0 && code != Microrun.Full) return Fail(scan, "push");
            }
            if (Microrun.mr_finish(scan) != 0) return Fail(scan, "finish");
            int got;
            while ((got = Microrun.mr_latents(scan, indices, latents, atOnce, 1000)) >= 0)
                for (int i = 0; i < got; i++)
                    Console.WriteLine("pattern " + indices[i] + ": " + latents[i * size]);
            if (got != Microrun.End) return Fail(scan, "latents");
            var counts = new ulong[Microrun.Counts];
            Microrun.mr_status(scan, counts);
            Console.WriteLine(counts[0] + " accepted, " + counts[1] + " dropped, " + counts[2] + " encoded");
            if (counts[8] > 0) Console.WriteLine(counts[8] + " alarms " + Microrun.Message(scan));
            return 0;
        }
        finally
        {
            Microrun.mr_close(scan);
        }
    }

    static int Fail(IntPtr scan, string what)
    {
        Console.Error.WriteLine(what + ": " + Microrun.Message(scan));
        return 1;
    }
}
