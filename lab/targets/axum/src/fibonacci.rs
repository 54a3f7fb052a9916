//! Work for the processor.

use tokio::task;

/// Up to here it takes some tens of microseconds: less than is worth a hop to another thread and back.
const QUICK: u8 = 22;

fn fibonacci(n: u8) -> u64 {
    if n < 2 { u64::from(n) } else { fibonacci(n - 1) + fibonacci(n - 2) }
}

/// Whatever takes longer is computed where it keeps no other request waiting.
pub async fn compute(n: u8) -> anyhow::Result<u64> {
    if n <= QUICK {
        return Ok(fibonacci(n));
    }
    Ok(task::spawn_blocking(move || fibonacci(n)).await?)
}
