;; Control flow nested deeper than Python's own: thirty loops inside one another, and a br_table
;; out of 120 blocks. Python stops at twenty nested loops and a hundred indents.
(module $nesting
  ;; Counts to `count` with thirty nested loops for its thirty bits: a step whose bit number k is
  ;; the lowest that is set leaves k loops before it goes round again. The sum weighs each step
  ;; by how far it went.
  (func $ruler (export "ruler") (param $count i32) (result i32)
    (local $step i32) (local $sum i32)
    block $done
    loop $bit29
    loop $bit28
    loop $bit27
    loop $bit26
    loop $bit25
    loop $bit24
    loop $bit23
    loop $bit22
    loop $bit21
    loop $bit20
    loop $bit19
    loop $bit18
    loop $bit17
    loop $bit16
    loop $bit15
    loop $bit14
    loop $bit13
    loop $bit12
    loop $bit11
    loop $bit10
    loop $bit9
    loop $bit8
    loop $bit7
    loop $bit6
    loop $bit5
    loop $bit4
    loop $bit3
    loop $bit2
    loop $bit1
    loop $bit0
    (local.set $step (i32.add (local.get $step) (i32.const 1)))
    (br_if $done (i32.gt_u (local.get $step) (local.get $count)))
    (local.set $sum (i32.add (local.get $sum) (i32.const 1)))
    (br_if $bit0 (i32.and (local.get $step) (i32.const 0x1)))
    end $bit0
    (local.set $sum (i32.add (local.get $sum) (i32.const 2)))
    (br_if $bit1 (i32.and (local.get $step) (i32.const 0x2)))
    end $bit1
    (local.set $sum (i32.add (local.get $sum) (i32.const 3)))
    (br_if $bit2 (i32.and (local.get $step) (i32.const 0x4)))
    end $bit2
    (local.set $sum (i32.add (local.get $sum) (i32.const 4)))
    (br_if $bit3 (i32.and (local.get $step) (i32.const 0x8)))
    end $bit3
    (local.set $sum (i32.add (local.get $sum) (i32.const 5)))
    (br_if $bit4 (i32.and (local.get $step) (i32.const 0x10)))
    end $bit4
    (local.set $sum (i32.add (local.get $sum) (i32.const 6)))
    (br_if $bit5 (i32.and (local.get $step) (i32.const 0x20)))
    end $bit5
    (local.set $sum (i32.add (local.get $sum) (i32.const 7)))
    (br_if $bit6 (i32.and (local.get $step) (i32.const 0x40)))
    end $bit6
    (local.set $sum (i32.add (local.get $sum) (i32.const 8)))
    (br_if $bit7 (i32.and (local.get $step) (i32.const 0x80)))
    end $bit7
    (local.set $sum (i32.add (local.get $sum) (i32.const 9)))
    (br_if $bit8 (i32.and (local.get $step) (i32.const 0x100)))
    end $bit8
    (local.set $sum (i32.add (local.get $sum) (i32.const 10)))
    (br_if $bit9 (i32.and (local.get $step) (i32.const 0x200)))
    end $bit9
    (local.set $sum (i32.add (local.get $sum) (i32.const 11)))
    (br_if $bit10 (i32.and (local.get $step) (i32.const 0x400)))
    end $bit10
    (local.set $sum (i32.add (local.get $sum) (i32.const 12)))
    (br_if $bit11 (i32.and (local.get $step) (i32.const 0x800)))
    end $bit11
    (local.set $sum (i32.add (local.get $sum) (i32.const 13)))
    (br_if $bit12 (i32.and (local.get $step) (i32.const 0x1000)))
    end $bit12
    (local.set $sum (i32.add (local.get $sum) (i32.const 14)))
    (br_if $bit13 (i32.and (local.get $step) (i32.const 0x2000)))
    end $bit13
    (local.set $sum (i32.add (local.get $sum) (i32.const 15)))
    (br_if $bit14 (i32.and (local.get $step) (i32.const 0x4000)))
    end $bit14
    (local.set $sum (i32.add (local.get $sum) (i32.const 16)))
    (br_if $bit15 (i32.and (local.get $step) (i32.const 0x8000)))
    end $bit15
    (local.set $sum (i32.add (local.get $sum) (i32.const 17)))
    (br_if $bit16 (i32.and (local.get $step) (i32.const 0x10000)))
    end $bit16
    (local.set $sum (i32.add (local.get $sum) (i32.const 18)))
    (br_if $bit17 (i32.and (local.get $step) (i32.const 0x20000)))
    end $bit17
    (local.set $sum (i32.add (local.get $sum) (i32.const 19)))
    (br_if $bit18 (i32.and (local.get $step) (i32.const 0x40000)))
    end $bit18
    (local.set $sum (i32.add (local.get $sum) (i32.const 20)))
    (br_if $bit19 (i32.and (local.get $step) (i32.const 0x80000)))
    end $bit19
    (local.set $sum (i32.add (local.get $sum) (i32.const 21)))
    (br_if $bit20 (i32.and (local.get $step) (i32.const 0x100000)))
    end $bit20
    (local.set $sum (i32.add (local.get $sum) (i32.const 22)))
    (br_if $bit21 (i32.and (local.get $step) (i32.const 0x200000)))
    end $bit21
    (local.set $sum (i32.add (local.get $sum) (i32.const 23)))
    (br_if $bit22 (i32.and (local.get $step) (i32.const 0x400000)))
    end $bit22
    (local.set $sum (i32.add (local.get $sum) (i32.const 24)))
    (br_if $bit23 (i32.and (local.get $step) (i32.const 0x800000)))
    end $bit23
    (local.set $sum (i32.add (local.get $sum) (i32.const 25)))
    (br_if $bit24 (i32.and (local.get $step) (i32.const 0x1000000)))
    end $bit24
    (local.set $sum (i32.add (local.get $sum) (i32.const 26)))
    (br_if $bit25 (i32.and (local.get $step) (i32.const 0x2000000)))
    end $bit25
    (local.set $sum (i32.add (local.get $sum) (i32.const 27)))
    (br_if $bit26 (i32.and (local.get $step) (i32.const 0x4000000)))
    end $bit26
    (local.set $sum (i32.add (local.get $sum) (i32.const 28)))
    (br_if $bit27 (i32.and (local.get $step) (i32.const 0x8000000)))
    end $bit27
    (local.set $sum (i32.add (local.get $sum) (i32.const 29)))
    (br_if $bit28 (i32.and (local.get $step) (i32.const 0x10000000)))
    end $bit28
    (local.set $sum (i32.add (local.get $sum) (i32.const 30)))
    (br_if $bit29 (i32.and (local.get $step) (i32.const 0x20000000)))
    end $bit29
    end $done
    (local.get $sum))

  ;; Chooses one of 120 cases at each step; each ends in the next case or goes round.
  (func $choose (export "choose") (param $count i32) (result i32)
    (local $seed i32) (local $sum i32)
    (local.set $seed (i32.const 1))
    block $done
    loop $next
    (br_if $done (i32.eqz (local.get $count)))
    (local.set $count (i32.sub (local.get $count) (i32.const 1)))
    (local.set $seed
      (i32.add (i32.mul (local.get $seed) (i32.const 1103515245)) (i32.const 12345)))
    block $other
    block $c119 block $c118 block $c117 block $c116 block $c115 block $c114
    block $c113 block $c112 block $c111 block $c110 block $c109 block $c108
    block $c107 block $c106 block $c105 block $c104 block $c103 block $c102
    block $c101 block $c100 block $c99 block $c98 block $c97 block $c96
    block $c95 block $c94 block $c93 block $c92 block $c91 block $c90
    block $c89 block $c88 block $c87 block $c86 block $c85 block $c84
    block $c83 block $c82 block $c81 block $c80 block $c79 block $c78
    block $c77 block $c76 block $c75 block $c74 block $c73 block $c72
    block $c71 block $c70 block $c69 block $c68 block $c67 block $c66
    block $c65 block $c64 block $c63 block $c62 block $c61 block $c60
    block $c59 block $c58 block $c57 block $c56 block $c55 block $c54
    block $c53 block $c52 block $c51 block $c50 block $c49 block $c48
    block $c47 block $c46 block $c45 block $c44 block $c43 block $c42
    block $c41 block $c40 block $c39 block $c38 block $c37 block $c36
    block $c35 block $c34 block $c33 block $c32 block $c31 block $c30
    block $c29 block $c28 block $c27 block $c26 block $c25 block $c24
    block $c23 block $c22 block $c21 block $c20 block $c19 block $c18
    block $c17 block $c16 block $c15 block $c14 block $c13 block $c12
    block $c11 block $c10 block $c9 block $c8 block $c7 block $c6
    block $c5 block $c4 block $c3 block $c2 block $c1 block $c0
    (br_table
      $c0 $c1 $c2 $c3 $c4 $c5 $c6 $c7 $c8 $c9 $c10 $c11
      $c12 $c13 $c14 $c15 $c16 $c17 $c18 $c19 $c20 $c21 $c22 $c23
      $c24 $c25 $c26 $c27 $c28 $c29 $c30 $c31 $c32 $c33 $c34 $c35
      $c36 $c37 $c38 $c39 $c40 $c41 $c42 $c43 $c44 $c45 $c46 $c47
      $c48 $c49 $c50 $c51 $c52 $c53 $c54 $c55 $c56 $c57 $c58 $c59
      $c60 $c61 $c62 $c63 $c64 $c65 $c66 $c67 $c68 $c69 $c70 $c71
      $c72 $c73 $c74 $c75 $c76 $c77 $c78 $c79 $c80 $c81 $c82 $c83
      $c84 $c85 $c86 $c87 $c88 $c89 $c90 $c91 $c92 $c93 $c94 $c95
      $c96 $c97 $c98 $c99 $c100 $c101 $c102 $c103 $c104 $c105 $c106 $c107
      $c108 $c109 $c110 $c111 $c112 $c113 $c114 $c115 $c116 $c117 $c118 $c119
      $other (i32.and (i32.shr_u (local.get $seed) (i32.const 16)) (i32.const 127)))
    end $c0
    (local.set $sum (i32.add (local.get $sum) (i32.const 1)))
    (br $next)
    end $c1
    (local.set $sum (i32.xor (local.get $sum) (i32.const 7919)))
    (br $next)
    end $c2
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 3)))
    end $c3
    (local.set $sum (i32.add (local.get $sum) (i32.const 10)))
    (br $next)
    end $c4
    (local.set $sum (i32.xor (local.get $sum) (i32.const 31676)))
    (br $next)
    end $c5
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 6)))
    (br $next)
    end $c6
    (local.set $sum (i32.add (local.get $sum) (i32.const 37)))
    end $c7
    (local.set $sum (i32.xor (local.get $sum) (i32.const 55433)))
    (br $next)
    end $c8
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 9)))
    (br $next)
    end $c9
    (local.set $sum (i32.add (local.get $sum) (i32.const 82)))
    (br $next)
    end $c10
    (local.set $sum (i32.xor (local.get $sum) (i32.const 79190)))
    end $c11
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 12)))
    (br $next)
    end $c12
    (local.set $sum (i32.add (local.get $sum) (i32.const 145)))
    (br $next)
    end $c13
    (local.set $sum (i32.xor (local.get $sum) (i32.const 102947)))
    (br $next)
    end $c14
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 15)))
    end $c15
    (local.set $sum (i32.add (local.get $sum) (i32.const 226)))
    (br $next)
    end $c16
    (local.set $sum (i32.xor (local.get $sum) (i32.const 126704)))
    (br $next)
    end $c17
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 18)))
    (br $next)
    end $c18
    (local.set $sum (i32.add (local.get $sum) (i32.const 325)))
    end $c19
    (local.set $sum (i32.xor (local.get $sum) (i32.const 150461)))
    (br $next)
    end $c20
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 21)))
    (br $next)
    end $c21
    (local.set $sum (i32.add (local.get $sum) (i32.const 442)))
    (br $next)
    end $c22
    (local.set $sum (i32.xor (local.get $sum) (i32.const 174218)))
    end $c23
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 24)))
    (br $next)
    end $c24
    (local.set $sum (i32.add (local.get $sum) (i32.const 577)))
    (br $next)
    end $c25
    (local.set $sum (i32.xor (local.get $sum) (i32.const 197975)))
    (br $next)
    end $c26
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 27)))
    end $c27
    (local.set $sum (i32.add (local.get $sum) (i32.const 730)))
    (br $next)
    end $c28
    (local.set $sum (i32.xor (local.get $sum) (i32.const 221732)))
    (br $next)
    end $c29
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 30)))
    (br $next)
    end $c30
    (local.set $sum (i32.add (local.get $sum) (i32.const 901)))
    end $c31
    (local.set $sum (i32.xor (local.get $sum) (i32.const 245489)))
    (br $next)
    end $c32
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 2)))
    (br $next)
    end $c33
    (local.set $sum (i32.add (local.get $sum) (i32.const 1090)))
    (br $next)
    end $c34
    (local.set $sum (i32.xor (local.get $sum) (i32.const 269246)))
    end $c35
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 5)))
    (br $next)
    end $c36
    (local.set $sum (i32.add (local.get $sum) (i32.const 1297)))
    (br $next)
    end $c37
    (local.set $sum (i32.xor (local.get $sum) (i32.const 293003)))
    (br $next)
    end $c38
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 8)))
    end $c39
    (local.set $sum (i32.add (local.get $sum) (i32.const 1522)))
    (br $next)
    end $c40
    (local.set $sum (i32.xor (local.get $sum) (i32.const 316760)))
    (br $next)
    end $c41
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 11)))
    (br $next)
    end $c42
    (local.set $sum (i32.add (local.get $sum) (i32.const 1765)))
    end $c43
    (local.set $sum (i32.xor (local.get $sum) (i32.const 340517)))
    (br $next)
    end $c44
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 14)))
    (br $next)
    end $c45
    (local.set $sum (i32.add (local.get $sum) (i32.const 2026)))
    (br $next)
    end $c46
    (local.set $sum (i32.xor (local.get $sum) (i32.const 364274)))
    end $c47
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 17)))
    (br $next)
    end $c48
    (local.set $sum (i32.add (local.get $sum) (i32.const 2305)))
    (br $next)
    end $c49
    (local.set $sum (i32.xor (local.get $sum) (i32.const 388031)))
    (br $next)
    end $c50
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 20)))
    end $c51
    (local.set $sum (i32.add (local.get $sum) (i32.const 2602)))
    (br $next)
    end $c52
    (local.set $sum (i32.xor (local.get $sum) (i32.const 411788)))
    (br $next)
    end $c53
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 23)))
    (br $next)
    end $c54
    (local.set $sum (i32.add (local.get $sum) (i32.const 2917)))
    end $c55
    (local.set $sum (i32.xor (local.get $sum) (i32.const 435545)))
    (br $next)
    end $c56
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 26)))
    (br $next)
    end $c57
    (local.set $sum (i32.add (local.get $sum) (i32.const 3250)))
    (br $next)
    end $c58
    (local.set $sum (i32.xor (local.get $sum) (i32.const 459302)))
    end $c59
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 29)))
    (br $next)
    end $c60
    (local.set $sum (i32.add (local.get $sum) (i32.const 3601)))
    (br $next)
    end $c61
    (local.set $sum (i32.xor (local.get $sum) (i32.const 483059)))
    (br $next)
    end $c62
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 1)))
    end $c63
    (local.set $sum (i32.add (local.get $sum) (i32.const 3970)))
    (br $next)
    end $c64
    (local.set $sum (i32.xor (local.get $sum) (i32.const 506816)))
    (br $next)
    end $c65
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 4)))
    (br $next)
    end $c66
    (local.set $sum (i32.add (local.get $sum) (i32.const 4357)))
    end $c67
    (local.set $sum (i32.xor (local.get $sum) (i32.const 530573)))
    (br $next)
    end $c68
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 7)))
    (br $next)
    end $c69
    (local.set $sum (i32.add (local.get $sum) (i32.const 4762)))
    (br $next)
    end $c70
    (local.set $sum (i32.xor (local.get $sum) (i32.const 554330)))
    end $c71
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 10)))
    (br $next)
    end $c72
    (local.set $sum (i32.add (local.get $sum) (i32.const 5185)))
    (br $next)
    end $c73
    (local.set $sum (i32.xor (local.get $sum) (i32.const 578087)))
    (br $next)
    end $c74
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 13)))
    end $c75
    (local.set $sum (i32.add (local.get $sum) (i32.const 5626)))
    (br $next)
    end $c76
    (local.set $sum (i32.xor (local.get $sum) (i32.const 601844)))
    (br $next)
    end $c77
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 16)))
    (br $next)
    end $c78
    (local.set $sum (i32.add (local.get $sum) (i32.const 6085)))
    end $c79
    (local.set $sum (i32.xor (local.get $sum) (i32.const 625601)))
    (br $next)
    end $c80
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 19)))
    (br $next)
    end $c81
    (local.set $sum (i32.add (local.get $sum) (i32.const 6562)))
    (br $next)
    end $c82
    (local.set $sum (i32.xor (local.get $sum) (i32.const 649358)))
    end $c83
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 22)))
    (br $next)
    end $c84
    (local.set $sum (i32.add (local.get $sum) (i32.const 7057)))
    (br $next)
    end $c85
    (local.set $sum (i32.xor (local.get $sum) (i32.const 673115)))
    (br $next)
    end $c86
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 25)))
    end $c87
    (local.set $sum (i32.add (local.get $sum) (i32.const 7570)))
    (br $next)
    end $c88
    (local.set $sum (i32.xor (local.get $sum) (i32.const 696872)))
    (br $next)
    end $c89
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 28)))
    (br $next)
    end $c90
    (local.set $sum (i32.add (local.get $sum) (i32.const 8101)))
    end $c91
    (local.set $sum (i32.xor (local.get $sum) (i32.const 720629)))
    (br $next)
    end $c92
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 31)))
    (br $next)
    end $c93
    (local.set $sum (i32.add (local.get $sum) (i32.const 8650)))
    (br $next)
    end $c94
    (local.set $sum (i32.xor (local.get $sum) (i32.const 744386)))
    end $c95
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 3)))
    (br $next)
    end $c96
    (local.set $sum (i32.add (local.get $sum) (i32.const 9217)))
    (br $next)
    end $c97
    (local.set $sum (i32.xor (local.get $sum) (i32.const 768143)))
    (br $next)
    end $c98
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 6)))
    end $c99
    (local.set $sum (i32.add (local.get $sum) (i32.const 9802)))
    (br $next)
    end $c100
    (local.set $sum (i32.xor (local.get $sum) (i32.const 791900)))
    (br $next)
    end $c101
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 9)))
    (br $next)
    end $c102
    (local.set $sum (i32.add (local.get $sum) (i32.const 10405)))
    end $c103
    (local.set $sum (i32.xor (local.get $sum) (i32.const 815657)))
    (br $next)
    end $c104
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 12)))
    (br $next)
    end $c105
    (local.set $sum (i32.add (local.get $sum) (i32.const 11026)))
    (br $next)
    end $c106
    (local.set $sum (i32.xor (local.get $sum) (i32.const 839414)))
    end $c107
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 15)))
    (br $next)
    end $c108
    (local.set $sum (i32.add (local.get $sum) (i32.const 11665)))
    (br $next)
    end $c109
    (local.set $sum (i32.xor (local.get $sum) (i32.const 863171)))
    (br $next)
    end $c110
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 18)))
    end $c111
    (local.set $sum (i32.add (local.get $sum) (i32.const 12322)))
    (br $next)
    end $c112
    (local.set $sum (i32.xor (local.get $sum) (i32.const 886928)))
    (br $next)
    end $c113
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 21)))
    (br $next)
    end $c114
    (local.set $sum (i32.add (local.get $sum) (i32.const 12997)))
    end $c115
    (local.set $sum (i32.xor (local.get $sum) (i32.const 910685)))
    (br $next)
    end $c116
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 24)))
    (br $next)
    end $c117
    (local.set $sum (i32.add (local.get $sum) (i32.const 13690)))
    (br $next)
    end $c118
    (local.set $sum (i32.xor (local.get $sum) (i32.const 934442)))
    end $c119
    (local.set $sum (i32.rotl (local.get $sum) (i32.const 27)))
    (br $next)
    end $other
    (local.set $sum (i32.mul (local.get $sum) (i32.const 31)))
    (br $next)
    end $next
    end $done
    (local.get $sum)))
