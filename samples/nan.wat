;; The bits of a NaN: they survive locals, memory, globals, select and sign changes. A signalling
;; NaN must not come back as a quiet one.
(module $nan
  (memory 1)
  (global $kept (mut f32) (f32.const 0))

  ;; Sends 32 bits through everything that copies an f32, and gives them back.
  (func $copy32 (export "copy32") (param $bits i32) (result i32)
    (local $value f32)
    (local.set $value (f32.reinterpret_i32 (local.get $bits)))
    (global.set $kept (local.get $value))
    (f32.store (i32.const 8) (global.get $kept))
    (local.set $value (f32.load (i32.const 8)))
    (f32.store
      (i32.const 13) ;; not aligned
      (select (local.get $value) (f32.const 0) (i32.const 1)))
    (i32.reinterpret_f32 (f32.neg (f32.neg (f32.load (i32.const 13))))))

  (func $copy64 (export "copy64") (param $bits i64) (result i64)
    (f64.store (i32.const 32) (f64.reinterpret_i64 (local.get $bits)))
    (f64.store
      (i32.const 51) ;; not aligned
      (f64.copysign (f64.load (i32.const 32)) (f64.load (i32.const 32))))
    (i64.load (i32.const 51)))

  ;; Copies `count` NaNs with payloads of their own; the result is how many came back changed,
  ;; in the upper half, and a checksum of the payloads in the lower.
  (func $payloads (export "payloads") (param $count i32) (result i64)
    (local $bits i32) (local $wrong i32) (local $sum i32)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $count)))
        (local.set $bits
          (i32.or
            (i32.const 0x7F800001)
            (i32.mul (local.get $count) (i32.const 0x9E3779B1))))
        (local.set $wrong
          (i32.add
            (local.get $wrong)
            (i32.ne (call $copy32 (local.get $bits)) (local.get $bits))))
        (local.set $sum
          (i32.add (i32.rotl (local.get $sum) (i32.const 5)) (local.get $bits)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $next)))
    (i64.or
      (i64.shl (i64.extend_i32_u (local.get $wrong)) (i64.const 32))
      (i64.extend_i32_u (local.get $sum))))

  ;; 1 where an operation on a NaN gives a NaN and every comparison with one is false.
  (func $rules (export "rules") (result i32)
    (local $nan f64)
    (local.set $nan (f64.div (f64.const 0) (f64.const 0)))
    (i32.and
      (f64.ne (local.get $nan) (local.get $nan))
      (i32.eqz
        (i32.or
          (f64.lt (f64.min (local.get $nan) (f64.const 1)) (f64.const 2))
          (f64.ge (f64.sqrt (f64.const -1)) (f64.const 0)))))))
