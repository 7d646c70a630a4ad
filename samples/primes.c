/* Prints how it gets on, line by line: `primes [LINES [WIDTH]]`.
 *
 * Each line counts the primes in the next WIDTH numbers by trial division. It is the program to
 * stop in the middle: what it printed before and after, put together, is what it prints in one go. */
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static int is_prime(unsigned n) {
    if (n < 2 || (n % 2 == 0 && n != 2)) return 0;
    for (unsigned d = 3; d * d <= n; d += 2)
        if (n % d == 0) return 0;
    return 1;
}

int main(int argc, char **argv) {
    unsigned lines = argc > 1 ? (unsigned)atoi(argv[1]) : 100;
    unsigned width = argc > 2 ? (unsigned)atoi(argv[2]) : 5000;
    unsigned count = 0, last = 0;
    double sum = 0;
    for (unsigned line = 0; line < lines; line++) {
        for (unsigned n = line * width; n < (line + 1) * width; n++)
            if (is_prime(n)) {
                count++;
                last = n;
                sum += 1.0 / n;
            }
        printf("%4u: %6u primes below %8u, the last %8u, their reciprocals' sum %.12f\n",
               line + 1, count, (line + 1) * width, last, sum);
        fflush(stdout);
    }
    return 0;
}
