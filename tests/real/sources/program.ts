// Classes, strings, maps, floats and the garbage collector.
class Shape {
  area(): f64 {
    return 0;
  }
}

class Square extends Shape {
  constructor(public side: f64) {
    super();
  }
  area(): f64 {
    return this.side * this.side;
  }
}

class Circle extends Shape {
  constructor(public radius: f64) {
    super();
  }
  area(): f64 {
    return 3 * this.radius * this.radius;
  }
}

export function areas(n: i32): f64 {
  let total: f64 = 0;
  for (let i = 0; i < n; i++) {
    const shape: Shape = i & 1 ? new Square(i as f64) : new Circle(i as f64);
    total += shape.area();
  }
  return total;
}

export function hash(n: i32): u64 {
  const seen = new Map<string, i32>();
  let result: u64 = 14695981039346656037;
  for (let i = 0; i < n; i++) {
    const key = "key " + (i % 17).toString();
    seen.set(key, (seen.has(key) ? seen.get(key) : 0) + i);
    for (let j = 0; j < key.length; j++) {
      result = (result ^ key.charCodeAt(j)) * 1099511628211;
    }
  }
  const keys = seen.keys();
  for (let i = 0; i < keys.length; i++) {
    result = rotl<u64>(result, 7) ^ (seen.get(keys[i]) as u64);
  }
  return result;
}

export function fails(n: i32): i32 {
  if (n > 2) throw new Error("more than two");
  return n;
}
