//! The gateway over an in-memory pipeline, to try the HTTP contract by hand or with schemathesis:
//! `cargo run -p gateway --example serve -- 127.0.0.1:8080 KEY`. Nothing it takes is durable.

use gateway::{Gateway, GatewayConfig, RecentActivity, serve};
use ports::SystemClock;
use std::sync::Arc;
use tokio::net::TcpListener;

#[path = "../tests/it/support/memory.rs"]
#[allow(dead_code, missing_docs)]
mod memory;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let api_key = arguments.next().unwrap_or_else(|| "an-example-api-key".to_owned());
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    let pipeline = memory::MemoryPipeline::default();
    let config = GatewayConfig::new(api_key, bound);
    let recent = Arc::new(RecentActivity::default());
    let gateway = Gateway::new(&config, pipeline.clone(), pipeline, recent, Arc::new(SystemClock))?;
    println!("http://{bound}");
    let interrupted = async {
        // Without a handler for the signal the process ends by it all the same.
        let _ = tokio::signal::ctrl_c().await;
    };
    serve(listener, gateway, interrupted).await?;
    Ok(())
}
