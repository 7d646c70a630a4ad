/* The sieve of Eratosthenes over bytes in memory. */
#define EXPORT(name) __attribute__((export_name(name)))
#define LIMIT 262144
static unsigned char composite[LIMIT];

/* How many primes are below `limit` (at most 262,144). */
EXPORT("primes") unsigned primes(unsigned limit) {
    if (limit > LIMIT) limit = LIMIT;
    for (unsigned i = 0; i < limit; i++) composite[i] = 0;
    unsigned count = 0;
    for (unsigned i = 2; i < limit; i++) {
        if (composite[i]) continue;
        count++;
        if (i < 1024)
            for (unsigned j = i * i; j < limit; j += i) composite[j] = 1;
    }
    return count;
}

/* The sum of `rounds` times the primes below 2,048: linear work for a benchmark. */
EXPORT("sieves") unsigned sieves(unsigned rounds) {
    unsigned sum = 0;
    while (rounds--) sum = sum * 3 + primes(2048);
    return sum;
}
