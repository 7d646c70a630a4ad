"""Scripts: each command read, and none able to sink the rest."""

import pytest

from chiwawa.wat.script import (
    AssertRefused,
    AssertReturn,
    AssertTrap,
    Const,
    DefineModule,
    Either,
    Get,
    Invoke,
    MakeInstance,
    ModuleSource,
    NanPattern,
    Perform,
    RefNull,
    Register,
    Unread,
    parse_script,
)
from chiwawa_runtime.errors import MalformedError, UnsupportedError


def test_commands_are_read_with_their_lines() -> None:
    commands = parse_script(
        r"""(module $m (func))
(module definition $d binary "\00asm")
(module instance $i $d)
(register "M" $m)
(invoke $m "f" (i32.const -1) (f32.const 1) (ref.null func) (ref.extern 3))
(assert_return (get "g") (i64.const 7))
(assert_trap (invoke "f") "unreachable")
(assert_trap (module (func)) "unreachable")
(assert_exhaustion (invoke "f") "call stack exhausted")
(assert_malformed (module quote "(fu" "nc") "unexpected")
(assert_unlinkable (module) "unknown import")"""
    )
    assert [command.line for command in commands] == [*range(1, 12)]
    text, definition, instance, register, perform, returned, trap, start, stack, bad, link = (
        commands
    )
    assert isinstance(text, DefineModule)
    assert (text.name, text.source.form, text.definition) == ("m", "text", False)
    assert definition == DefineModule(2, "d", ModuleSource("binary", b"\0asm"), True)
    assert instance == MakeInstance(3, "i", "d")
    assert register == Register(4, "M", "m")
    args = (Const("i32", 0xFFFFFFFF), Const("f32", 0x3F800000), RefNull("func"), Const("extern", 3))
    assert perform == Perform(5, Invoke("m", "f", args))
    assert returned == AssertReturn(6, Get(None, "g"), (Const("i64", 7),))
    assert trap == AssertTrap(7, "assert_trap", Invoke(None, "f", ()), "unreachable")
    assert isinstance(start, AssertTrap)
    assert isinstance(start.what, ModuleSource)
    assert isinstance(stack, AssertTrap)
    assert stack.word == "assert_exhaustion"
    assert bad == AssertRefused(
        10, "assert_malformed", ModuleSource("quote", b"(func"), "unexpected"
    )
    assert isinstance(link, AssertRefused)
    assert link.word == "assert_unlinkable"


def test_patterns_of_results() -> None:
    (command,) = parse_script(
        """(assert_return (invoke "f") (f32.const nan:canonical) (f64.const nan:arithmetic)
             (ref.null) (ref.func) (ref.extern) (either (i32.const 1) (i32.const 2)))"""
    )
    assert isinstance(command, AssertReturn)
    assert command.results == (
        NanPattern("f32", "canonical"),
        NanPattern("f64", "arithmetic"),
        RefNull(None),
        Const("func", None),
        Const("extern", None),
        Either((Const("i32", 1), Const("i32", 2))),
    )


def test_a_command_that_cannot_be_read_stands_alone() -> None:
    commands = parse_script(
        """(assert_return (invoke "f") (v128.const i32x4 0 0 0))
           (assert_return (invoke "f" (i32.const 1.5)))
           (assert_exception (invoke "f") "why")
           (frobnicate)
           (assert_return (invoke "f") (cont.new 0))
           (invoke "g")"""
    )
    *unread, last = commands
    assert [type(u.error) for u in unread if isinstance(u, Unread)] == [
        MalformedError,
        MalformedError,
        MalformedError,
        MalformedError,
        UnsupportedError,
    ]
    assert last == Perform(6, Invoke(None, "g", ()))


def test_a_script_of_fields_alone_is_one_module() -> None:
    (command,) = parse_script('(func) (memory 0) (func (export "f"))')
    assert isinstance(command, DefineModule)
    module = command.source.parse()
    assert not isinstance(module, bytes)
    assert len(module.funcs) == 2


def test_a_text_that_is_no_list_of_commands_is_malformed() -> None:
    with pytest.raises(MalformedError, match="unexpected token"):
        parse_script('(invoke "f"')
