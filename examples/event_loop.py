"""Run many programs in one event loop, each waiting for host functions that are async."""

import asyncio

import chiwawa

module = chiwawa.load("""(module
  (import "env" "price" (func $price (param i32) (result i32)))
  (func (export "total") (param i32) (result i32)
    (i32.add (call $price (local.get 0)) (call $price (i32.const 1)))))""")


async def price(article: int) -> int:
    await asyncio.sleep(0)
    return 100 * article


async def main() -> None:
    instances = [chiwawa.instantiate(module, {"env": {"price": price}}) for _ in range(5)]
    calls = [instance.call_async("total", i) for i, instance in enumerate(instances)]
    print(await asyncio.gather(*calls))


asyncio.run(main())
