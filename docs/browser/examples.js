// The modules that the page offers.

export const EXAMPLES = {
  primes: {
    arguments: "100000",
    text: `;; Counts the primes below a number. Run it, stop it, look where it is,
;; and go on: by the other path, if you like.
(module
  (func $prime (param $n i32) (result i32) (local $d i32)
    (local.set $d (i32.const 2))
    (block $yes
      (loop $next
        (br_if $yes (i32.gt_u (i32.mul (local.get $d) (local.get $d)) (local.get $n)))
        (if (i32.eqz (i32.rem_u (local.get $n) (local.get $d)))
          (then (return (i32.const 0))))
        (local.set $d (i32.add (local.get $d) (i32.const 1)))
        (br $next)))
    (i32.const 1))
  (func (export "primes") (param $below i32) (result i32) (local $n i32) (local $found i32)
    (local.set $n (i32.const 2))
    (loop $next
      (local.set $found (i32.add (local.get $found) (call $prime (local.get $n))))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $n) (local.get $below))))
    (local.get $found)))
`,
  },
  "recursion": {
    arguments: "27",
    text: `;; Fibonacci's numbers, with a frame for each call that is waiting.
(module
  (func $fib (export "fib") (param $n i32) (result i64)
    (if (result i64) (i32.lt_u (local.get $n) (i32.const 2))
      (then (i64.extend_i32_u (local.get $n)))
      (else (i64.add
        (call $fib (i32.sub (local.get $n) (i32.const 1)))
        (call $fib (i32.sub (local.get $n) (i32.const 2))))))))
`,
  },
  "log": {
    arguments: "12",
    text: `;; env.log is the page's: it prints what it is given, whatever the types.
(module
  (import "env" "log" (func $log (param i32 i64)))
  (func (export "powers") (param $n i32) (local $i i32) (local $power i64)
    (local.set $power (i64.const 1))
    (loop $next
      (call $log (local.get $i) (local.get $power))
      (local.set $power (i64.mul (local.get $power) (i64.const 3)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (local.get $n))))))
`,
  },
  "WASI": {
    arguments: "",
    text: `;; A WASI program: what it writes to its standard output is printed.
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "round 0\\n")
  (func (export "_start") (local $round i32)
    (i32.store (i32.const 0) (i32.const 16))
    (i32.store (i32.const 4) (i32.const 8))
    (loop $next
      (i32.store8 (i32.const 22) (i32.add (i32.const 48) (local.get $round)))
      (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      (local.set $round (i32.add (local.get $round) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $round) (i32.const 10))))))
`,
  },
};
