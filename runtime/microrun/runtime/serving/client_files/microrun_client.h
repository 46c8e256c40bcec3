/* Client of `microrun serve`: push EBSD patterns, get latents. C99, Linux and Windows, no dependencies.

   Linux    cc -std=c99 -O2 -shared -fPIC microrun_client.c -o libmicrorun_client.so -lpthread
   MSVC     cl /O2 /LD /DMICRORUN_DLL microrun_client.c ws2_32.lib
   MinGW    gcc -std=c99 -O2 -shared -DMICRORUN_DLL microrun_client.c -o microrun_client.dll -lws2_32
   or compile microrun_client.c with your program.

   Calls return 0 or more, or a negative code from below; mr_message then says in one line what was wrong.
   One thread may push, finish and ask for the status while another asks for latents; mr_message then is of the call
   that was last. All else of one scan: one thread at a time. */
#ifndef MICRORUN_CLIENT_H
#define MICRORUN_CLIENT_H
#include <stdint.h>

#if defined(_WIN32) && defined(MICRORUN_DLL)
#define MR_API __declspec(dllexport)
#elif defined(_WIN32)
#define MR_API
#else
#define MR_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mr_scan mr_scan;

enum {
    MR_CONNECT = -1,  /* no service answers */
    MR_TOKEN = -2,    /* it has another token */
    MR_ARGUMENT = -3, /* what was asked for makes no sense */
    MR_GONE = -4,     /* the service went away, or has ended the scan */
    MR_FULL = -5,     /* no room in time: the pattern is dropped, and counted */
    MR_PROTOCOL = -6, /* service and client do not understand each other */
    MR_BUSY = -7,     /* another client's scan is being encoded */
    MR_REFUSED = -8,  /* the model cannot take such patterns, or the file cannot be written */
    MR_FAILED = -9,   /* the scan has failed; what was written is in its file */
    MR_END = -10      /* all latents were given, no more will come */
};

/* What mr_status counts, by its place. */
enum {
    MR_ACCEPTED,  /* patterns that were taken */
    MR_DROPPED,   /* patterns that found no room in time */
    MR_ENCODED,   /* patterns whose latents are there */
    MR_FLAGGED,   /* those of them without information, such as blank ones */
    MR_WAITING,   /* latents that mr_latents has not given yet */
    MR_FORGOTTEN, /* latents that were not asked for so long that they are in the file only */
    MR_RATE,      /* patterns per second now */
    MR_STATE,     /* 1 live, 2 ended, 3 failed */
    MR_ALARMS,    /* how often something changed in the scan, or the model did not know the patterns */
    MR_COUNTS
};

/* Rows of a hexagonal grid: all are equally long, and the second is the first that is shifted; or else. */
enum { MR_ALTERNATING = 1, /* those that are shifted have one pattern less */ MR_FIRST_SHIFTED = 2 };

/* Begin a scan of rows x cols patterns of height x width pixels of 1 or 2 bytes.
   token_file: NULL or "" for the usual place. name: of the latents file; NULL or "" for any that is free.
   step_um: from point to point, 0 if unknown.
   Returns how many numbers a latent has. mr_message then is the path of the latents file.
   *out is set in any case but lack of memory, for mr_message; close it in any case. */
MR_API int32_t mr_open(const char *token_file, const char *name, int32_t rows, int32_t cols, int32_t height,
                       int32_t width, int32_t pixel_bytes, double step_um, mr_scan **out);

/* The same for a hexagonal grid: every second row lies half a step to the right, and rows lie step_um x sqrt(3)/2 apart.
   layout: the sum of what holds of its rows, from below; cols: of the longer rows. */
MR_API int32_t mr_open_hexagonal(const char *token_file, const char *name, int32_t rows, int32_t cols, int32_t height,
                                 int32_t width, int32_t pixel_bytes, double step_um, int32_t layout, mr_scan **out);

/* Hand over a pattern; it is copied. index counts along the rows of the map from 0, and must ascend.
   timeout_ms: how long to wait for room; 0 never waits, below 0 without end. */
MR_API int32_t mr_push(mr_scan *scan, uint64_t index, const void *pattern, int32_t timeout_ms);

/* The same without a copy: write the pattern where mr_slot points to, then hand it over.
   NULL where mr_push would return a code; what mr_slot gave need not be committed. */
MR_API void *mr_slot(mr_scan *scan, int32_t timeout_ms);
MR_API int32_t mr_commit(mr_scan *scan, uint64_t index);

/* Copy latents that are there, limit at most, after waiting up to timeout_ms for some: indices[n], latents[n][size].
   Returns n, which may be 0; MR_END once all were given. */
MR_API int32_t mr_latents(mr_scan *scan, uint64_t *indices, float *latents, int32_t limit, int32_t timeout_ms);

/* Fill counts[MR_COUNTS]. mr_message then is the newest alarm that lasts, such as "sharpness -18 % since row 212:
   defocus?" in UTF-8; empty if none does. */
MR_API int32_t mr_status(mr_scan *scan, uint64_t *counts);

/* Say that no more patterns come. Latents may still be asked for. */
MR_API int32_t mr_finish(mr_scan *scan);

/* Hang up and free. A scan that was not finished counts as interrupted. NULL does nothing. */
MR_API void mr_close(mr_scan *scan);

/* What was said last; valid until the next call. */
MR_API const char *mr_message(const mr_scan *scan);

#ifdef __cplusplus
}
#endif
#endif
