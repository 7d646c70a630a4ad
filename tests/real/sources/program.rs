//! Collections, traits, closures, formatting, a file, and a status.
use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead, Write};

trait Shape {
    fn area(&self) -> f64;
}

struct Square(f64);
struct Circle(f64);

impl Shape for Square {
    fn area(&self) -> f64 {
        self.0 * self.0
    }
}

impl Shape for Circle {
    fn area(&self) -> f64 {
        3.0 * self.0 * self.0
    }
}

fn main() -> io::Result<()> {
    let mut words: BTreeMap<String, usize> = BTreeMap::new();
    let input = io::BufReader::new(std::fs::File::open("/words.txt")?);
    for line in input.lines() {
        for word in line?.split_whitespace() {
            *words.entry(word.to_lowercase()).or_default() += 1;
        }
    }
    let mut out = std::fs::File::create("/counted.txt")?;
    for (word, count) in &words {
        println!("{word:>6} {count}");
        writeln!(out, "{word} {count}")?;
    }

    let shapes: Vec<Box<dyn Shape>> = vec![Box::new(Square(1.5)), Box::new(Circle(2.0))];
    println!("{:.3}", shapes.iter().map(|s| s.area()).sum::<f64>());

    let numbers: HashMap<u64, u64> = (0..300u64).map(|n| (n, n.wrapping_pow(n as u32))).collect();
    let mixed = (0..300).fold(0u64, |sum, n| sum.rotate_left(5) ^ numbers[&n]);
    println!("{mixed:016x} {:?}", i32::MAX.checked_add(1));
    println!("{:?}", "1,2,x,4".split(',').map(str::parse::<i32>).collect::<Vec<_>>());
    std::process::exit(if words.len() > 3 { 3 } else { 0 });
}
