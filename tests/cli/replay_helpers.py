"""A program that depends on all that a host has: clock, randomness, standard input and files."""

from __future__ import annotations

WORLDLY = r"""
(module $worldly
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get"
    (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "in.txt")
  (data (i32.const 8) "out.txt")
  (global $mixed (mut i32) (i32.const 7))
  (func $mix (param $from i32) (param $to i32)
    (loop $on
      (global.set $mixed (i32.add (i32.mul (global.get $mixed) (i32.const 31))
        (i32.load8_u (local.get $from))))
      (local.set $from (i32.add (local.get $from) (i32.const 1)))
      (br_if $on (i32.lt_u (local.get $from) (local.get $to)))))
  (func $read_from (param $fd i32)
    (i32.store (i32.const 32) (i32.const 256))
    (i32.store (i32.const 36) (i32.const 100))
    (drop (call $read (local.get $fd) (i32.const 32) (i32.const 1) (i32.const 40)))
    (call $mix (i32.const 256) (i32.const 300)))
  (func $write_to (param $fd i32) (local $at i32)
    (local.set $at (i32.const 512))
    (loop $digit
      (i32.store8 (local.get $at)
        (i32.add (i32.const 97) (i32.and (global.get $mixed) (i32.const 15))))
      (global.set $mixed (i32.rotl (global.get $mixed) (i32.const 4)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $digit (i32.lt_u (local.get $at) (i32.const 520))))
    (i32.store8 (local.get $at) (i32.const 10))
    (i32.store (i32.const 32) (i32.const 512))
    (i32.store (i32.const 36) (i32.const 9))
    (drop (call $write (local.get $fd) (i32.const 32) (i32.const 1) (i32.const 40))))
  (func (export "_start")
    (drop (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 6) (i32.const 0)
      (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 64)))
    (call $read_from (i32.load (i32.const 64)))
    (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 128)))
    (call $mix (i32.const 128) (i32.const 136))
    (call $write_to (i32.const 1))
    (drop (call $random (i32.const 128) (i32.const 8)))
    (call $mix (i32.const 128) (i32.const 136))
    (call $read_from (i32.const 0))
    (call $write_to (i32.const 2))
    (drop (call $open (i32.const 3) (i32.const 0) (i32.const 8) (i32.const 7) (i32.const 9)
      (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 64)))
    (call $write_to (i32.load (i32.const 64)))
    (call $write_to (i32.const 1))
    (call $exit (i32.and (global.get $mixed) (i32.const 63)))))
"""
