local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
for i = 1, 12 do io.write(i, " ", fib(i), "\n") end
local t = {}
for i = 1, 200 do t[#t + 1] = string.format("%05d", (i * 7919) % 1000) end
table.sort(t)
print(table.concat(t, ","):sub(1, 60))
print(("hello world"):gsub("o", "0"), math.pi, 10 // 3, 2 ^ 53, -7 % 3, 1 << 62)
print(#string.rep("ab", 1000), select("#", table.unpack(t)), next({}), string.pack(">i4", 7):byte(1, 4))
