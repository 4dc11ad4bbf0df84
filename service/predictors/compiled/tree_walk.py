"""Machine code that sums a forest's trees for many rows, made by LLVM for the CPU that it runs on.

scikit-learn walks down a tree with one row at a time, and mostly waits for the next node. Here
eight rows go down together, so that their waits overlap, and no step of them is a branch that the
CPU would have to guess. Trees are the outer loop: one tree fits into the first-level cache. To a
row's sum they are added in their own order, in doubles: the same bits as scikit-learn's.

The tables that it reads:

- `nodes`, 32-bit words, 16 bytes a node: threshold (a float), feature, where to go on if the
  feature is at most the threshold, and where if it is greater. A place is counted in words. A leaf
  goes on to itself.
- `roots`, 32-bit words: each tree's first node.
- `values`, doubles: for each node as many as there are outputs.
"""

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

from service.predictors.compiled.libraries import require

WORDS = 4
"""What a node takes of `nodes`."""
_NAME = "sum_trees"
_TOGETHER = (8, 4, 2, 1)
"""How many rows walk down at once: as many as fit, then the rest in smaller groups."""
_OPTIMISE = 3

SumTrees = Callable[[int, int, int, int, int, int, int, int, int], None]
"""`(matrix, rows, features, nodes, roots, trees, values, outputs, sums)`: arrays by address.

`matrix` holds floats, row by row and without NaN; `sums` doubles, row by row, to which is added.
The GIL is released meanwhile.
"""


def compile_walk() -> SumTrees:
    """Compile it, which takes some 20 ms. Raise SkippedError where LLVM is not there."""
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
    module = llvm.parse_assembly("\n".join(_assembly()))
    module.triple, module.data_layout = target.triple, str(machine.target_data)
    module.verify()
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    declared = ctypes.CFUNCTYPE(
        None, pointer, number, number, pointer, pointer, number, pointer, number, pointer
    )
    function: Any = declared(engine.get_function_address(_NAME))
    # The code is gone when the engine is.
    function.engine = engine
    return function  # type: ignore[no-any-return]


def _assembly() -> Iterator[str]:
    """Write the function in LLVM's language: for each tree, for each group of rows."""
    yield f"""
define void @{_NAME}(ptr noalias %matrix, i64 %rows, i64 %features, ptr noalias %nodes,
                     ptr noalias %roots, i64 %trees, ptr noalias %values, i64 %outputs,
                     ptr noalias %sums) {{
entry:
  br label %trees.next
trees.next:
  %tree = phi i64 [ 0, %entry ], [ %tree.after, %trees.end ]
  %tree.after = add i64 %tree, 1
  %tree.is = icmp slt i64 %tree, %trees
  br i1 %tree.is, label %trees.begin, label %done
trees.begin:
  %root.at = getelementptr i32, ptr %roots, i64 %tree
  %root.word = load i32, ptr %root.at
  %root = zext i32 %root.word to i64
  br label %by{_TOGETHER[0]}.next"""
    before = "trees.begin"
    for at, lanes in enumerate(_TOGETHER):
        after = f"by{_TOGETHER[at + 1]}.next" if at + 1 < len(_TOGETHER) else "trees.end"
        first = "0" if at == 0 else f"%by{_TOGETHER[at - 1]}.row"
        yield from _walk_together(f"by{lanes}", lanes, first, before, after)
        before = f"by{lanes}.next"
    yield """
trees.end:
  br label %trees.next
done:
  ret void
}"""


def _walk_together(name: str, lanes: int, first: str, before: str, after: str) -> Iterator[str]:
    """Write the loop over groups of so many rows, from row `first` on, and go on to `after`."""
    yield f"""
{name}.next:
  %{name}.row = phi i64 [ {first}, %{before} ], [ %{name}.end, %{name}.added ]
  %{name}.end = add i64 %{name}.row, {lanes}
  %{name}.fits = icmp sle i64 %{name}.end, %rows
  br i1 %{name}.fits, label %{name}.begin, label %{after}
{name}.begin:"""
    for lane in range(lanes):
        it = f"%{name}.{lane}"
        yield f"""
  {it}.row = add i64 %{name}.row, {lane}
  {it}.start = mul i64 {it}.row, %features
  {it}.features = getelementptr float, ptr %matrix, i64 {it}.start
  {it}.sum = mul i64 {it}.row, %outputs"""
    yield f"""
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
  {it}.threshold = load float, ptr {it}.node
  {it}.which.at = getelementptr i32, ptr {it}.node, i64 1
  {it}.which = load i32, ptr {it}.which.at
  {it}.which.wide = zext i32 {it}.which to i64
  {it}.feature.at = getelementptr float, ptr {it}.features, i64 {it}.which.wide
  {it}.feature = load float, ptr {it}.feature.at
  {it}.greater = fcmp ogt float {it}.feature, {it}.threshold
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
  br i1 %{name}.moved, label %{name}.walk, label %{name}.leaves
{name}.leaves:"""
    for lane in range(lanes):
        it = f"%{name}.{lane}"
        yield f"""
  {it}.leaf = lshr i64 {it}, {WORDS.bit_length() - 1}
  {it}.value = mul i64 {it}.leaf, %outputs"""
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
  %{name}.output.more = icmp slt i64 %{name}.output.after, %outputs
  br i1 %{name}.output.more, label %{name}.add, label %{name}.added
{name}.added:
  br label %{name}.next"""
