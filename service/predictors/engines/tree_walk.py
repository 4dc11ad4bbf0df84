"""Machine code that sums a forest's trees for many rows, made by LLVM for the CPU that it runs on.

scikit-learn walks down a tree with one row at a time, and mostly waits for the next node. Here
twelve rows go down together, so that their waits overlap, and no step of them is a branch that the
CPU would have to guess. Trees are the outer loop: one tree fits into the first-level cache. To a
row's sum they are added in their own order, in doubles: the same bits as scikit-learn's.

Features and thresholds are compared as whole numbers of the same order (`ordered`), which takes
less time than comparing floats. Features come in doubles, and are first rounded to floats, as
scikit-learn rounds them, and ordered. The tables that the code reads:

- `nodes`, 32-bit words, 16 bytes a node: threshold, feature, where to go on if the feature is at
  most the threshold, and where if it is greater. A place is counted in words. A leaf goes on to
  itself.
- `roots`, 32-bit words: each tree's first node.
- `values`, doubles: for each node as many as there are outputs.
"""

import ctypes
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from service.predictors.engines.engine import Array
from service.predictors.engines.libraries import require

WORDS = 4
"""A node has so many words of `nodes`."""
_NAME = "sum_trees"
_TOGETHER = (12, 4, 1)
"""So many rows walk down together: as many as fit, then the rest in smaller groups."""
_OPTIMISE = 3
_EXPONENT, _MAGNITUDE = 0x7F800000, 0x7FFFFFFF
"""The bits of a float's exponent, all of which are set where it is not finite; all but its sign."""

SumTrees = Callable[[int, int, int, int, int, int, int, int], int]
"""`(features, matrix, rows, nodes, roots, trees, values, sums)`: arrays by their addresses.

`features` holds doubles, row by row; `matrix` has room for as many `ordered` floats; `sums` holds
doubles, row by row, to which is added. Returns another number than 0, and adds nothing, where a
feature is not finite as a float. The GIL is released meanwhile.
"""


def ordered(floats: Array) -> Array:
    """Return 32-bit whole numbers that are ordered as these floats are, of which none is NaN.

    Of a positive float the bits are such a number; a negative one's order is turned round. Adding
    zero makes the negative zero the positive one, which it equals.
    """
    bits = (floats + np.float32(0)).view(np.int32)
    turned: Array = bits ^ ((bits >> 31) & _MAGNITUDE)
    return turned


def compile_walk(features: int, outputs: int) -> bytes:
    """Return the code for a forest's width, as an object file, which takes some 15 ms.

    Raise SkippedError without LLVM.
    """
    target, machine = _machine()
    module = _parsed("\n".join(_assembly(features, outputs)), target, machine)
    module.verify()
    code: bytes = machine.emit_object(module)
    return code


def link_walk(code: bytes) -> SumTrees:
    """Make such code, of this very `machine_name()`, ready to run, which takes less than 1 ms."""
    llvm: Any = require("llvmlite.binding")
    target, machine = _machine()
    engine = llvm.create_mcjit_compiler(_parsed("", target, machine), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    array, number = ctypes.c_void_p, ctypes.c_int64
    declared = ctypes.CFUNCTYPE(
        *(ctypes.c_int32, array, array, number, array, array, number, array, array)
    )
    function: Any = declared(engine.get_function_address(_NAME))
    # The code is gone when the engine is.
    function.engine = engine
    return function  # type: ignore[no-any-return]


def machine_name() -> str:
    """Name the kind of CPU that code is made for, and its LLVM: no other may run it."""
    llvm: Any = require("llvmlite.binding")
    features = llvm.get_host_cpu_features().flatten()
    parts = (llvm.get_default_triple(), llvm.get_host_cpu_name(), features, llvm.llvm_version_info)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _machine() -> tuple[Any, Any]:
    """Return LLVM's target and its machine: this one."""
    llvm: Any = require("llvmlite.binding")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    machine = target.create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=_OPTIMISE,
        jit=True,
    )
    return target, machine


def _parsed(assembly: str, target: Any, machine: Any) -> Any:
    llvm: Any = require("llvmlite.binding")
    module = llvm.parse_assembly(assembly)
    module.triple, module.data_layout = target.triple, str(machine.target_data)
    return module


def _assembly(features: int, outputs: int) -> Iterator[str]:
    """Write the function in LLVM's language: for each tree, for each group of rows."""
    yield f"""
define i32 @{_NAME}(ptr noalias %features, ptr noalias %matrix, i64 %rows, ptr noalias %nodes,
                    ptr noalias %roots, i64 %trees, ptr noalias %values, ptr noalias %sums) {{
entry:
  %cells = mul i64 %rows, {features}
  br label %cells.next
cells.next:
  %cell = phi i64 [ 0, %entry ], [ %cell.after, %cells.begin ]
  %odd = phi i32 [ 0, %entry ], [ %odd.now, %cells.begin ]
  %cell.after = add i64 %cell, 1
  %cell.is = icmp slt i64 %cell, %cells
  br i1 %cell.is, label %cells.begin, label %cells.end
cells.begin:
  %double.at = getelementptr double, ptr %features, i64 %cell
  %double = load double, ptr %double.at
  %rounded = fptrunc double %double to float
  %float = fadd float %rounded, 0.0
  %bits = bitcast float %float to i32
  %exponent = and i32 %bits, {_EXPONENT}
  %beyond = icmp eq i32 %exponent, {_EXPONENT}
  %beyond.as = zext i1 %beyond to i32
  %odd.now = or i32 %odd, %beyond.as
  %sign = ashr i32 %bits, 31
  %turn = and i32 %sign, {_MAGNITUDE}
  %ordered = xor i32 %bits, %turn
  %ordered.at = getelementptr i32, ptr %matrix, i64 %cell
  store i32 %ordered, ptr %ordered.at
  br label %cells.next
cells.end:
  %is.odd = icmp ne i32 %odd, 0
  br i1 %is.odd, label %done, label %trees.next
trees.next:
  %tree = phi i64 [ 0, %cells.end ], [ %tree.after, %trees.end ]
  %tree.after = add i64 %tree, 1
  %tree.is = icmp slt i64 %tree, %trees
  br i1 %tree.is, label %trees.begin, label %done
trees.begin:
  %root.at = getelementptr i32, ptr %roots, i64 %tree
  %root.word = load i32, ptr %root.at
  %root = zext i32 %root.word to i64
  br label %by{_TOGETHER[0]}.next"""
    before, first = "trees.begin", "0"
    for lanes, fewer in zip(_TOGETHER, (*_TOGETHER[1:], 0), strict=True):
        name = f"by{lanes}"
        yield f"""
{name}.next:
  %{name}.row = phi i64 [ {first}, %{before} ], [ %{name}.end, %{name}.added ]
  %{name}.end = add i64 %{name}.row, {lanes}
  %{name}.fits = icmp sle i64 %{name}.end, %rows
  br i1 %{name}.fits, label %{name}.begin, label %{f"by{fewer}.next" if fewer else "trees.end"}"""
        yield from _walk(name, lanes, features)
        yield from _add(name, lanes, outputs)
        before, first = f"{name}.next", f"%{name}.row"
    yield """
trees.end:
  br label %trees.next
done:
  ret i32 %odd
}"""


def _walk(name: str, lanes: int, features: int) -> Iterator[str]:
    """Write how rows go down, until none of them moves any more."""
    yield f"""
{name}.begin:
  %{name}.start = mul i64 %{name}.row, {features}
  %{name}.features = getelementptr i32, ptr %matrix, i64 %{name}.start
  br label %{name}.walk
{name}.walk:"""
    for lane in range(lanes):
        it = f"%{name}.{lane}"
        yield f"  {it} = phi i64 [ %root, %{name}.begin ], [ {it}.onward, %{name}.walk ]"
    moved = "0"
    for lane in range(lanes):
        it = f"%{name}.{lane}"
        # Which way is added to the address, and so never a branch.
        yield f"""
  {it}.node = getelementptr i32, ptr %nodes, i64 {it}
  {it}.threshold = load i32, ptr {it}.node
  {it}.which.at = getelementptr i32, ptr {it}.node, i64 1
  {it}.which.word = load i32, ptr {it}.which.at
  {it}.which = zext i32 {it}.which.word to i64
  {it}.in.first = getelementptr i32, ptr %{name}.features, i64 {it}.which
  {it}.feature.at = getelementptr i32, ptr {it}.in.first, i64 {lane * features}
  {it}.feature = load i32, ptr {it}.feature.at
  {it}.greater = icmp sgt i32 {it}.feature, {it}.threshold
  {it}.way = zext i1 {it}.greater to i64
  {it}.ways = getelementptr i32, ptr {it}.node, i64 2
  {it}.onward.at = getelementptr i32, ptr {it}.ways, i64 {it}.way
  {it}.onward.word = load i32, ptr {it}.onward.at
  {it}.onward = zext i32 {it}.onward.word to i64
  {it}.step = xor i64 {it}.onward, {it}
  {it}.moved = or i64 {it}.step, {moved}"""
        moved = f"{it}.moved"
    yield f"""
  %{name}.moved = icmp ne i64 {moved}, 0
  br i1 %{name}.moved, label %{name}.walk, label %{name}.leaves"""


def _add(name: str, lanes: int, outputs: int) -> Iterator[str]:
    """Write how the values of the leaves that were reached are added to the rows' sums."""
    yield f"""
{name}.leaves:"""
    for lane in range(lanes):
        it = f"%{name}.{lane}"
        yield f"""
  {it}.leaf = lshr i64 {it}, {WORDS.bit_length() - 1}
  {it}.value = mul i64 {it}.leaf, {outputs}
  {it}.row = add i64 %{name}.row, {lane}
  {it}.sum = mul i64 {it}.row, {outputs}"""
    yield f"""
  br label %{name}.add
{name}.add:
  %{name}.output = phi i64 [ 0, %{name}.leaves ], [ %{name}.output.after, %{name}.add ]"""
    for lane in range(lanes):
        it = f"%{name}.{lane}"
        yield f"""
  {it}.value.index = add i64 {it}.value, %{name}.output
  {it}.value.at = getelementptr double, ptr %values, i64 {it}.value.index
  {it}.given = load double, ptr {it}.value.at
  {it}.sum.index = add i64 {it}.sum, %{name}.output
  {it}.sum.at = getelementptr double, ptr %sums, i64 {it}.sum.index
  {it}.sum.old = load double, ptr {it}.sum.at
  {it}.sum.new = fadd double {it}.sum.old, {it}.given
  store double {it}.sum.new, ptr {it}.sum.at"""
    yield f"""
  %{name}.output.after = add i64 %{name}.output, 1
  %{name}.output.more = icmp slt i64 %{name}.output.after, {outputs}
  br i1 %{name}.output.more, label %{name}.add, label %{name}.added
{name}.added:
  br label %{name}.next"""
