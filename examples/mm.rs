use pairtune::{gpu::*, kernels};
use std::time::Instant;
fn main() { pollster::block_on(async {
  let gpu = Gpu::new(&AdapterChoice::default()).await.unwrap();
  println!("{}", gpu.report().name);
  for (m,n,k) in [(1024u32,1024u32,1024u32),(1024,256,256),(1024,8,256),(1024,256,8)] {
    let x = gpu.upload("x", m, k, Dtype::F32, &vec![0.5f32; (m*k) as usize]);
    let w = gpu.upload("w", n, k, Dtype::F32, &vec![0.25f32; (n*k) as usize]);
    let y = gpu.zeros("y", m, n, Dtype::F32);
    let dw = gpu.zeros("dw", n, k, Dtype::F32);
    for which in ["fwd","bwd_in","bwd_w"] {
      let mut best = f64::MAX;
      for _ in 0..4 {
        gpu.wait().await.unwrap();
        let t = Instant::now();
        let mut rec = gpu.recorder();
        let reps = if m*n < 1<<19 {8} else {2};
        for _ in 0..reps { match which {
          "fwd" => kernels::matmul_forward(&mut rec, &x, &w, 1.0, kernels::Store::Set, 0, &y),
          "bwd_in" => kernels::matmul_backward_input(&mut rec, &y, &w, 1.0, kernels::Store::Set, 0, &x),
          _ => kernels::matmul_backward_weight(&mut rec, &y, &x, 1.0, &dw),
        } }
        rec.submit(); gpu.wait().await.unwrap();
        best = best.min(t.elapsed().as_secs_f64()/reps as f64);
      }
      println!("{m}x{n}x{k} {which}: {:.2} GFLOP/s", 2.0*m as f64*n as f64*k as f64/best/1e9);
    }
  }
})}
