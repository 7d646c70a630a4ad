;; Structures and arrays on a heap that is collected: a search tree, what it says as an array, and a
;; ring; and an exception for what is not found. It makes structures, so it does not run natively.
(module $trees
  (rec (type $tree (struct
    (field $key i32)
    (field $left (mut (ref null $tree)))
    (field $right (mut (ref null $tree))))))
  (type $keys (array (mut i32)))
  (type $person (struct (field $number i32) (field $next (mut (ref null $person)))))
  (tag $missing (param i32))
  (global $root (mut (ref null $tree)) (ref.null $tree))

  ;; The next of some numbers that look like chance.
  (func $shuffled (param $number i32) (result i32)
    (local.set $number (i32.xor (local.get $number) (i32.shl (local.get $number) (i32.const 13))))
    (local.set $number (i32.xor (local.get $number) (i32.shr_u (local.get $number) (i32.const 17))))
    (i32.xor (local.get $number) (i32.shl (local.get $number) (i32.const 5))))

  ;; Puts `key` where it belongs below `tree`; the tree that it is then.
  (func $insert (param $tree (ref null $tree)) (param $key i32) (result (ref $tree))
    (local $node (ref $tree))
    (local.set $node
      (block $here (result (ref $tree))
        (br_on_non_null $here (local.get $tree))
        (return (struct.new $tree (local.get $key) (ref.null $tree) (ref.null $tree)))))
    (if (i32.lt_u (local.get $key) (struct.get $tree $key (local.get $node)))
      (then (struct.set $tree $left (local.get $node)
        (call $insert (struct.get $tree $left (local.get $node)) (local.get $key))))
      (else (struct.set $tree $right (local.get $node)
        (call $insert (struct.get $tree $right (local.get $node)) (local.get $key)))))
    (local.get $node))

  ;; Writes the keys below `tree` into `keys` from `at` on, in order; where the next one goes.
  (func $list (param $tree (ref null $tree)) (param $keys (ref $keys)) (param $at i32) (result i32)
    (if (ref.is_null (local.get $tree)) (then (return (local.get $at))))
    (local.set $at
      (call $list (struct.get $tree $left (local.get $tree)) (local.get $keys) (local.get $at)))
    (array.set $keys (local.get $keys) (local.get $at) (struct.get $tree $key (local.get $tree)))
    (return_call $list (struct.get $tree $right (local.get $tree)) (local.get $keys)
      (i32.add (local.get $at) (i32.const 1))))

  ;; How deep `key` is in the tree, which throws it where it is not there.
  (func $depth_of (param $key i32) (result i32)
    (local $tree (ref null $tree)) (local $depth i32)
    (local.set $tree (global.get $root))
    (loop $down
      (if (ref.is_null (local.get $tree)) (then (throw $missing (local.get $key))))
      (if (i32.eq (local.get $key) (struct.get $tree $key (local.get $tree)))
        (then (return (local.get $depth))))
      (local.set $depth (i32.add (local.get $depth) (i32.const 1)))
      (local.set $tree
        (if (result (ref null $tree))
          (i32.lt_u (local.get $key) (struct.get $tree $key (local.get $tree)))
          (then (struct.get $tree $left (local.get $tree)))
          (else (struct.get $tree $right (local.get $tree)))))
      (br $down))
    (unreachable))

  ;; Makes a tree of `count` keys, lists them, and looks for each, and for as many others: a hash of
  ;; all that comes of it.
  (func $sorted (export "sorted") (param $count i32) (result i32)
    (local $at i32) (local $key i32) (local $hash i32) (local $keys (ref $keys))
    (global.set $root (ref.null $tree))
    (local.set $key (i32.const 2463534242))
    (local.set $at (local.get $count))
    (loop $more
      (local.set $key (call $shuffled (local.get $key)))
      (global.set $root (call $insert (global.get $root) (local.get $key)))
      (br_if $more (local.tee $at (i32.sub (local.get $at) (i32.const 1)))))
    (local.set $keys (array.new_default $keys (local.get $count)))
    (drop (call $list (global.get $root) (local.get $keys) (i32.const 0)))
    (loop $again
      (local.set $key (array.get $keys (local.get $keys) (local.get $at)))
      (local.set $hash (i32.add (i32.mul (local.get $hash) (i32.const 31)) (local.get $key)))
      (local.set $hash (i32.xor (local.get $hash) (call $depth_of (local.get $key))))
      (block $missing (result i32)
        (try_table (catch $missing $missing)
          (drop (call $depth_of (i32.add (local.get $key) (i32.const 1)))))
        (i32.const 1))
      (local.set $hash (i32.add (local.get $hash)))
      (br_if $again
        (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (local.get $count))))
    (local.get $hash))

  ;; `count` people stand in a ring, and every third leaves it: the number of the last one.
  (func (export "last_of") (param $count i32) (result i32)
    (local $person (ref null $person)) (local $first (ref $person))
    (local.set $first (struct.new $person (local.get $count) (ref.null $person)))
    (local.set $person (local.get $first))
    (loop $more
      (local.set $count (i32.sub (local.get $count) (i32.const 1)))
      (if (local.get $count)
        (then
          (local.set $person (struct.new $person (local.get $count) (local.get $person)))
          (br $more))))
    (struct.set $person $next (local.get $first) (local.get $person))
    (local.set $person (local.get $first))
    (loop $leave
      (local.set $person (struct.get $person $next (struct.get $person $next (local.get $person))))
      (struct.set $person $next (local.get $person)
        (struct.get $person $next (struct.get $person $next (local.get $person))))
      (br_if $leave
        (i32.eqz (ref.eq (local.get $person) (struct.get $person $next (local.get $person))))))
    (struct.get $person $number (local.get $person))))
