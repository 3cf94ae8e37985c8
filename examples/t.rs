use pairtune::{gpu::*, kernels::*};
use std::time::Instant;
fn main() {
    pollster::block_on(async {
        let gpu = Gpu::new(&AdapterChoice::default()).await.unwrap();
        for v in [Variant::Tile, Variant::Subgroup] {
            for d in [Dtype::F32, Dtype::F16] {
                set_variant(&gpu, v);
                let x = gpu.zeros("x", 256, 512, Dtype::F32);
                let w = gpu.zeros("w", 256, 512, d);
                let y = gpu.zeros("y", 256, 256, Dtype::F32);
                for f in 0..2 {
                    let t = Instant::now();
                    let mut rec = gpu.recorder();
                    if f == 0 {
                        matmul_forward(&mut rec, &x, &w, 1.0, Store::Set, 0, &y);
                    } else {
                        matmul_backward_input(&mut rec, &y, &w, 1.0, Store::Set, 0, &x);
                    }
                    rec.submit();
                    gpu.wait().await.unwrap();
                    println!("{v:?} {d:?} {f} first {:.3}", t.elapsed().as_secs_f64());
                }
            }
        }
    })
}
