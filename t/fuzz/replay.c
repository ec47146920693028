
/*
 * Runs a fuzz harness over its corpus without libFuzzer: every file that
 * was ever worth keeping stays a regression test under any compiler.
 *
 * Each argument is a file or a folder; without one, REPLAY_CORPUS.  Prints
 * TAP, a line for each file; a sanitizer's report ends the run, so that the
 * plan, which stands first, is not met.
 */

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>


#ifndef REPLAY_CORPUS
#define REPLAY_CORPUS  "."
#endif


typedef struct {
    char    **names;
    size_t    n;
} replay_files_t;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void *
replay_alloc(void *old, size_t size)
{
    void  *p;

    p = realloc(old, size ? size : 1);
    if (p == NULL) {
        fprintf(stderr, "replay: out of memory\n");
        exit(2);
    }

    return p;
}


static int
replay_compare(const void *one, const void *two)
{
    return strcmp(*(char *const *) one, *(char *const *) two);
}


static void
replay_collect(replay_files_t *files, const char *path)
{
    DIR            *dir;
    char           *name;
    size_t          len;
    struct stat     sb;
    struct dirent  *de;

    if (stat(path, &sb) == -1) {
        fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
        exit(2);
    }

    if (!S_ISDIR(sb.st_mode)) {
        files->names = replay_alloc(files->names,
                                    (files->n + 1) * sizeof(char *));
        len = strlen(path) + 1;
        files->names[files->n] = memcpy(replay_alloc(NULL, len), path, len);
        files->n++;
        return;
    }

    dir = opendir(path);
    if (dir == NULL) {
        fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
        exit(2);
    }

    while ((de = readdir(dir)) != NULL) {
        if (de->d_name[0] == '.') {
            continue;
        }

        len = strlen(path) + strlen(de->d_name) + 2;
        name = replay_alloc(NULL, len);
        snprintf(name, len, "%s/%s", path, de->d_name);
        replay_collect(files, name);
        free(name);
    }

    closedir(dir);
}


/*
 * The input lies in a block of just its size, so that a read beyond its end
 * is seen.  Returns -1 when the file cannot be read.
 */
static int
replay_file(const char *name)
{
    FILE     *f;
    size_t    size, n;
    uint8_t  *data;

    f = fopen(name, "rb");
    if (f == NULL) {
        return -1;
    }

    data = NULL;
    size = 0;

    do {
        data = replay_alloc(data, size + 4096);
        n = fread(data + size, 1, 4096, f);
        size += n;
    } while (n == 4096);

    fclose(f);

    data = replay_alloc(data, size);
    LLVMFuzzerTestOneInput(data, size);
    free(data);

    return 0;
}


int
main(int argc, char **argv)
{
    int             i, failed;
    size_t          k;
    replay_files_t  files;

    memset(&files, 0, sizeof(files));

    for (i = 1; i < argc; i++) {
        replay_collect(&files, argv[i]);
    }

    if (argc == 1) {
        replay_collect(&files, REPLAY_CORPUS);
    }

    qsort(files.names, files.n, sizeof(char *), replay_compare);

    printf("1..%zu\n", files.n + 1);

    /* not every corpus has the empty input, every parser meets it */
    LLVMFuzzerTestOneInput((const uint8_t *) "", 0);
    printf("ok 1 - no input\n");

    failed = 0;

    for (k = 0; k < files.n; k++) {
        fflush(stdout);

        if (replay_file(files.names[k]) == -1) {
            printf("not ok %zu - %s: %s\n", k + 2, files.names[k],
                   strerror(errno));
            failed = 1;

        } else {
            printf("ok %zu - %s\n", k + 2, files.names[k]);
        }

        free(files.names[k]);
    }

    free(files.names);

    return failed;
}
