/* A small machine for a small bytecode, dispatched by a switch: br_table in its natural place. */
#define EXPORT(name) __attribute__((export_name(name)))
enum { PUSH, LOAD, SAVE, ADD, SUB, MUL, XOR, SHIFT, LESS, JUMP, UNLESS, STOP };

/* b = 0; while (a < n) { b = (b * 33) ^ (a + (a >> 3)); a = a + 1; } */
static const unsigned char PROGRAM[] = {
    LOAD, 0, LOAD, 2, LESS, UNLESS, 30,
    LOAD, 1, PUSH, 33, MUL, LOAD, 0, LOAD, 0, PUSH, 3, SHIFT, ADD, XOR, SAVE, 1,
    LOAD, 0, PUSH, 1, ADD, SAVE, 0,
    /* 30: */ LOAD, 0, LOAD, 2, LESS, UNLESS, 39, JUMP, 0,
    /* 39: */ STOP,
};
static unsigned stack[16], variables[3];

/* What the program leaves in b when it counts a to `n`. */
EXPORT("execute") unsigned execute(unsigned n) {
    const unsigned char *at = PROGRAM;
    unsigned *top = stack;
    variables[0] = variables[1] = 0;
    variables[2] = n;
    for (;;) switch (*at++) {
        case PUSH: *++top = *at++; break;
        case LOAD: *++top = variables[*at++]; break;
        case SAVE: variables[*at++] = *top--; break;
        case ADD: top--, top[0] += top[1]; break;
        case SUB: top--, top[0] -= top[1]; break;
        case MUL: top--, top[0] *= top[1]; break;
        case XOR: top--, top[0] ^= top[1]; break;
        case SHIFT: top--, top[0] >>= top[1]; break;
        case LESS: top--, top[0] = top[0] < top[1]; break;
        case JUMP: at = PROGRAM + *at; break;
        case UNLESS: at = *top-- ? at + 1 : PROGRAM + *at; break;
        default: return variables[1];
        }
}
