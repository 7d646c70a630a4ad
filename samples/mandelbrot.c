/* Points of the plane against the Mandelbrot set, in f32: each operation is rounded. */
#define EXPORT(name) __attribute__((export_name(name)))
#define ROUNDS 50

/* Takes `points` pseudo-random points until they escape, or for 50 steps. The sum is made of their
 * numbers of steps and of the bits of where they end, which tells whether anything was not rounded. */
EXPORT("escape") unsigned escape(unsigned points) {
    unsigned seed = 7, sum = 0;
    while (points--) {
        seed = seed * 1664525 + 1013904223;
        float cx = (float)(seed >> 8) * (3.0f / 16777216.0f) - 2.25f;
        seed = seed * 1664525 + 1013904223;
        float cy = (float)(seed >> 8) * (2.5f / 16777216.0f) - 1.25f;
        float x = 0, y = 0;
        int steps = 0;
        while (steps < ROUNDS) {
            float xx = x * x, yy = y * y;
            if (xx + yy > 4.0f) break;
            y = 2.0f * x * y + cy;
            x = xx - yy + cx;
            steps++;
        }
        unsigned bits;
        __builtin_memcpy(&bits, &x, 4);
        sum = sum * 31 + (bits ^ (unsigned)steps);
    }
    return sum;
}
