;; Pi by Leibniz's series: 4 - 4/3 + 4/5 - 4/7 + …
;; One loop over f64, and so the smallest program that can be stopped in the middle.
(module $pi
  (func $leibniz (export "leibniz") (param $terms i32) (result f64)
    (local $term i32) (local $sum f64) (local $sign f64)
    (local.set $sign (f64.const 4))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $term) (local.get $terms)))
        (local.set $sum
          (f64.add
            (local.get $sum)
            (f64.div
              (local.get $sign)
              (f64.convert_i32_u
                (i32.add (i32.shl (local.get $term) (i32.const 1)) (i32.const 1))))))
        (local.set $sign (f64.neg (local.get $sign)))
        (local.set $term (i32.add (local.get $term) (i32.const 1)))
        (br $next)))
    (local.get $sum)))
