/* Quicksort of an array in memory: recursion with loops in it. */
#define EXPORT(name) __attribute__((export_name(name)))
#define LIMIT 65536
static int numbers[LIMIT];

static void sort(int *low, int *high) {
    while (low < high) {
        int pivot = low[(high - low) / 2];
        int *i = low, *j = high;
        while (i <= j) {
            while (*i < pivot) i++;
            while (*j > pivot) j--;
            if (i <= j) {
                int kept = *i;
                *i++ = *j;
                *j-- = kept;
            }
        }
        sort(low, j);
        low = i;
    }
}

/* Sorts `count` (at most 65,536) numbers from a generator; 0 if they are out of order at the end,
 * else a sum that depends on each one's place. */
EXPORT("quicksort") unsigned quicksort(unsigned count) {
    if (count > LIMIT) count = LIMIT;
    unsigned seed = 42;
    for (unsigned i = 0; i < count; i++) {
        seed = seed * 1664525 + 1013904223;
        numbers[i] = (int)seed;
    }
    if (count) sort(numbers, numbers + count - 1);
    unsigned sum = 1;
    for (unsigned i = 0; i < count; i++) {
        if (i && numbers[i - 1] > numbers[i]) return 0;
        sum = sum * 31 + (unsigned)numbers[i];
    }
    return sum;
}

/* The same, `rounds` times over 256 numbers: linear work for a benchmark. */
EXPORT("sorts") unsigned sorts(unsigned rounds) {
    unsigned sum = 0;
    while (rounds--) sum = sum * 31 + quicksort(256) + rounds;
    return sum;
}
