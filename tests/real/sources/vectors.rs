//! Vectors by name, in generics and closures, with conversions that saturate and bulk memory.
use std::arch::wasm32::*;

/// Bytes to hexadecimal digits, sixteen at a time.
fn hexadecimal(bytes: &[u8]) -> String {
    let digits = u8x16(
        b'0', b'1', b'2', b'3', b'4', b'5', b'6', b'7', b'8', b'9', b'a', b'b', b'c', b'd', b'e',
        b'f',
    );
    let mut out = Vec::with_capacity(2 * bytes.len());
    for chunk in bytes.chunks_exact(16) {
        let some = unsafe { v128_load(chunk.as_ptr().cast()) };
        let high = u8x16_swizzle(digits, u8x16_shr(some, 4));
        let low = u8x16_swizzle(digits, v128_and(some, u8x16_splat(15)));
        let first = u8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(high, low);
        let second =
            u8x16_shuffle::<8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31>(high, low);
        let mut text = [0; 32];
        unsafe {
            v128_store(text.as_mut_ptr().cast(), first);
            v128_store(text.as_mut_ptr().add(16).cast(), second);
        }
        out.extend_from_slice(&text);
    }
    String::from_utf8(out).unwrap()
}

/// The sum of what `each` makes of pairs of numbers.
fn sum_of(numbers: &[f64], each: impl Fn(v128) -> v128) -> f64 {
    let mut sum = f64x2_splat(0.0);
    for pair in numbers.chunks_exact(2) {
        sum = f64x2_add(sum, each(f64x2(pair[0], pair[1])));
    }
    f64x2_extract_lane::<0>(sum) + f64x2_extract_lane::<1>(sum)
}

fn main() {
    let mut state = 12345u32;
    let mut bytes = [0u8; 64];
    let mut numbers = vec![0.0; 200];
    for round in 0..4 {
        for byte in &mut bytes {
            state = state.wrapping_mul(1664525).wrapping_add(1013904223);
            *byte = (state >> 24) as u8;
        }
        for (place, number) in numbers.iter_mut().enumerate() {
            *number = f64::from(bytes[place % 64]) - 100.0 * f64::from(round);
        }
        let copy = numbers.clone();
        numbers[10..110].copy_from_slice(&copy[100..200]);
        println!("{}", &hexadecimal(&bytes)[round as usize..][..40]);
        println!(
            "{} {} {}",
            sum_of(&numbers, |pair| f64x2_mul(pair, pair)) as i32,
            sum_of(&numbers, |pair| f64x2_sqrt(f64x2_abs(pair))) as u64,
            (sum_of(&numbers, |pair| f64x2_mul(pair, f64x2_splat(1e9))) * 1e3) as i32,
        );
    }
}
