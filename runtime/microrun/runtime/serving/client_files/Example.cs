// Encode raw patterns by `microrun serve` from C#: .NET, .NET Framework or Mono.
//
//   csc Example.cs                        (Mono: mcs Example.cs; dotnet: in place of Program.cs of a new console project)
//   Example PATTERNS ROWS COLS HEIGHT WIDTH LATENTS [TIMEOUT_MS [TOKEN_FILE [LAYOUT]]]
//
// PATTERNS holds ROWS x COLS patterns of 16 bits a pixel, LATENTS gets a record for each latent: its number, 8 bytes, and its
// values. LAYOUT is given where the grid is hexagonal: 0, or the sum of what the header names.
// Beside the program lies the client as a library, built as its header says: microrun_client.dll, on Linux
// libmicrorun_client.so, of 64 bits where the program is, else of 32.
using System;
using System.IO;
using System.Runtime.InteropServices;
using System.Text;

/// <summary>The ten functions. Arrays stay where they are during a call; what is pushed was copied when it returns.</summary>
static class Native
{
    const string Library = "microrun_client";
    const CallingConvention C = CallingConvention.Cdecl;

    [DllImport(Library, CallingConvention = C)]
    public static extern int mr_open(byte[] tokenFile, byte[] name, int rows, int cols, int height, int width,
                                     int pixelBytes, double stepUm, out ScanHandle scan);

    [DllImport(Library, CallingConvention = C)]
    public static extern int mr_open_hexagonal(byte[] tokenFile, byte[] name, int rows, int cols, int height, int width,
                                               int pixelBytes, double stepUm, int layout, out ScanHandle scan);

    [DllImport(Library, CallingConvention = C)]
    public static extern int mr_push(ScanHandle scan, ulong index, ushort[] pattern, int timeoutMs);

    [DllImport(Library, CallingConvention = C)]
    public static extern int mr_push(ScanHandle scan, ulong index, byte[] pattern, int timeoutMs);

    [DllImport(Library, CallingConvention = C)]
    public static extern int mr_push(ScanHandle scan, ulong index, IntPtr pattern, int timeoutMs);

    [DllImport(Library, CallingConvention = C)]
    public static extern IntPtr mr_slot(ScanHandle scan, int timeoutMs);

    [DllImport(Library, CallingConvention = C)]
    public static extern int mr_commit(ScanHandle scan, ulong index);

    [DllImport(Library, CallingConvention = C)]
    public static extern int mr_latents(ScanHandle scan, ulong[] indices, float[] latents, int limit, int timeoutMs);

    [DllImport(Library, CallingConvention = C)]
    public static extern int mr_status(ScanHandle scan, ulong[] counts);

    [DllImport(Library, CallingConvention = C)]
    public static extern int mr_finish(ScanHandle scan);

    [DllImport(Library, CallingConvention = C)]
    public static extern void mr_close(IntPtr scan);

    [DllImport(Library, CallingConvention = C)]
    public static extern IntPtr mr_message(ScanHandle scan);
}

/// <summary>What the library calls a scan: freed once no call uses it any more.</summary>
sealed class ScanHandle : SafeHandle
{
    ScanHandle() : base(IntPtr.Zero, true) { }
    public override bool IsInvalid { get { return handle == IntPtr.Zero; } }
    protected override bool ReleaseHandle() { Native.mr_close(handle); return true; }
}

/// <summary>A scan that is pushed. What goes wrong is thrown, with the client's words.</summary>
/// <remarks>One thread may push, finish and ask for the status while another asks for latents.</remarks>
sealed class Scan : IDisposable
{
    const int Full = -5, End = -10;
    readonly ScanHandle handle;
    readonly long patternBytes;

    /// <summary>How many numbers a latent has.</summary>
    public readonly int LatentSize;

    /// <summary>Where the service writes the latents.</summary>
    public readonly string Path;

    /// <summary>Begin a scan. tokenFile: null for the usual place; name: of the latents file, null for any;
    /// layout: of a hexagonal grid, 0 or the sum of what the header names; null for a square one.</summary>
    public Scan(string tokenFile, string name, int rows, int cols, int height, int width, int pixelBytes, double stepUm,
                int? layout = null)
    {
        byte[] file = Utf8(tokenFile), called = Utf8(name);
        LatentSize = layout == null
            ? Native.mr_open(file, called, rows, cols, height, width, pixelBytes, stepUm, out handle)
            : Native.mr_open_hexagonal(file, called, rows, cols, height, width, pixelBytes, stepUm, layout.Value, out handle);
        Path = Message; // or what was wrong
        patternBytes = (long)height * width * pixelBytes;
        if (LatentSize >= 0) return;
        handle.Dispose();
        throw new InvalidOperationException(Path);
    }

    /// <summary>What was said last, such as an alarm by Status.</summary>
    public string Message
    {
        get
        {
            IntPtr text = Native.mr_message(handle);
            int size = 0;
            while (Marshal.ReadByte(text, size) != 0) size++;
            var bytes = new byte[size];
            Marshal.Copy(text, bytes, 0, size);
            return Encoding.UTF8.GetString(bytes);
        }
    }

    /// <summary>Hand over a pattern; false if it found no room in time, and was dropped and counted.</summary>
    public bool Push(ulong index, ushort[] pattern, int timeoutMs)
    {
        CheckSize(2L * pattern.Length);
        return WasTaken(Native.mr_push(handle, index, pattern, timeoutMs));
    }

    /// <summary>The same for pixels of 8 bits, or for bytes as they came from a file.</summary>
    public bool Push(ulong index, byte[] pattern, int timeoutMs)
    {
        CheckSize(pattern.Length);
        return WasTaken(Native.mr_push(handle, index, pattern, timeoutMs));
    }

    /// <summary>The same from a camera's own memory, which nobody can check.</summary>
    public bool Push(ulong index, IntPtr pattern, int timeoutMs)
    {
        return WasTaken(Native.mr_push(handle, index, pattern, timeoutMs));
    }

    /// <summary>Where to write the next pattern, to hand it over by Commit; IntPtr.Zero if there is no room in time.</summary>
    public IntPtr Slot(int timeoutMs) { return Native.mr_slot(handle, timeoutMs); }

    /// <summary>Hand over what was written to the slot.</summary>
    public bool Commit(ulong index) { return WasTaken(Native.mr_commit(handle, index)); }

    /// <summary>Copy latents that are there, after waiting for some; returns how many, below 0 once all were given.</summary>
    public int Latents(ulong[] indices, float[] latents, int timeoutMs)
    {
        int limit = Math.Min(indices.Length, latents.Length / LatentSize);
        int count = Native.mr_latents(handle, indices, latents, limit, timeoutMs);
        return count == End ? count : Check(count);
    }

    /// <summary>Counts, by their place in the header file.</summary>
    public ulong[] Status()
    {
        var counts = new ulong[9];
        Check(Native.mr_status(handle, counts));
        return counts;
    }

    /// <summary>Say that no more patterns come.</summary>
    public void Finish() { Check(Native.mr_finish(handle)); }

    /// <summary>Hang up.</summary>
    public void Dispose() { handle.Dispose(); }

    void CheckSize(long bytes)
    {
        if (bytes == patternBytes) return;
        throw new ArgumentException("a pattern has " + patternBytes + " bytes; got " + bytes);
    }

    bool WasTaken(int code) { return code != Full && Check(code) == 0; }

    int Check(int code)
    {
        if (code < 0) throw new InvalidOperationException(Message);
        return code;
    }

    static byte[] Utf8(string text) { return text == null ? null : Encoding.UTF8.GetBytes(text + "\0"); }
}

static class Program
{
    static int Main(string[] words)
    {
        try
        {
            if (words.Length < 6) throw new ArgumentException("PATTERNS ROWS COLS HEIGHT WIDTH LATENTS are needed");
            Encode(words);
            return 0;
        }
        catch (DllNotFoundException) { return Fail("the library microrun_client is not beside the program"); }
        catch (BadImageFormatException) { return Fail("program and library must both have 64 bits, or 32"); }
        catch (Exception error) { return Fail(error.Message); }
    }

    static int Fail(string text)
    {
        Console.Error.WriteLine(text);
        return 1;
    }

    static void Encode(string[] words)
    {
        int rows = int.Parse(words[1]), cols = int.Parse(words[2]), height = int.Parse(words[3]), width = int.Parse(words[4]);
        int timeoutMs = words.Length > 6 ? int.Parse(words[6]) : -1;
        string tokenFile = words.Length > 7 ? words[7] : null;
        int? layout = words.Length > 8 ? int.Parse(words[8]) : (int?)null;
        using (var file = new BinaryReader(File.OpenRead(words[0])))
        using (var to = new BinaryWriter(File.Create(words[5])))
        using (var scan = new Scan(tokenFile, null, rows, cols, height, width, 2, 1.0, layout))
        {
            Console.WriteLine("latents go to " + scan.Path);
            var indices = new ulong[256];
            var latents = new float[256 * scan.LatentSize];
            byte[] pattern;
            for (int i = 0; (pattern = file.ReadBytes(2 * height * width)).Length > 0; i++)
            {
                scan.Push((ulong)i, pattern, timeoutMs);
                if (i % 256 == 255) Save(scan, indices, latents, to, 0);
            }
            scan.Finish();
            while (Save(scan, indices, latents, to, 1000)) { }
            var counts = scan.Status();
            Console.WriteLine(counts[0] + " accepted, " + counts[1] + " dropped, " + counts[2] + " encoded");
            if (counts[8] > 0) Console.WriteLine(counts[8] + " alarms " + scan.Message);
        }
    }

    /// <summary>Write latents that are there, or come within the time; false once all were given.</summary>
    static bool Save(Scan scan, ulong[] indices, float[] latents, BinaryWriter to, int timeoutMs)
    {
        int count = scan.Latents(indices, latents, timeoutMs);
        for (int i = 0; i < count; i++)
        {
            to.Write(indices[i]);
            for (int k = 0; k < scan.LatentSize; k++) to.Write(latents[i * scan.LatentSize + k]);
        }
        return count >= 0;
    }
}
