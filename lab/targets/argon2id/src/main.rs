//! The hash's own rate: argon2id over one password, on one thread, for some seconds. Prints hashes and seconds.
//!
//! `argon2id MEMORY_KIB PASSES LANES SECONDS`

use std::error::Error;
use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Params, Version};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<u32> = std::env::args().skip(1).map(|word| word.parse()).collect::<Result<_, _>>()?;
    let [memory_kib, passes, lanes, seconds] = words[..] else {
        return Err("usage: argon2id MEMORY_KIB PASSES LANES SECONDS".into());
    };
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(memory_kib, passes, lanes, Some(32))?);
    let (mut out, mut count) = ([0; 32], 0_u64);
    let (start, limit) = (Instant::now(), Duration::from_secs(seconds.into()));
    while start.elapsed() < limit {
        argon.hash_password_into(b"a bench's password, long enough", &count.to_le_bytes().repeat(2), &mut out)?;
        count += 1;
    }
    println!("{count} {}", start.elapsed().as_secs_f64());
    Ok(())
}
