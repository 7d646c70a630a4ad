/* Counts lines, words and bytes: `wc [FILE]…`, of the standard input where no file is named. */
#include <ctype.h>
#include <stdio.h>

static int count(FILE *file, const char *name) {
    unsigned long lines = 0, words = 0, bytes = 0;
    int inside = 0, c;
    while ((c = getc(file)) != EOF) {
        bytes++;
        lines += c == '\n';
        if (isspace(c))
            inside = 0;
        else if (!inside)
            inside = 1, words++;
    }
    if (ferror(file)) {
        perror(name);
        return 1;
    }
    printf("%7lu %7lu %7lu%s%s\n", lines, words, bytes, *name ? " " : "", name);
    return 0;
}

int main(int argc, char **argv) {
    int status = 0;
    if (argc < 2) return count(stdin, "");
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "r");
        if (!file) {
            perror(argv[i]);
            status = 1;
            continue;
        }
        status |= count(file, argv[i]);
        fclose(file);
    }
    return status;
}
