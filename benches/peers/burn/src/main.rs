//! The peer of `benches/train.rs`: the same 15M-parameter Llama, LoRA and batch in burn on its wgpu backend.
//!
//! `cargo run --release [-- TOKENS]` prints a line of JSON for each of the two cases of `benches/train.rs`. TOKENS is
//! the length of a sequence, 256 by default. burn takes the adapter that it holds for the best one, or the one that
//! `CUBECL_WGPU_DEFAULT_DEVICE` names, such as `Cpu` or `DiscreteGpu(0)`.
//!
//! A step is one of DPO with the reference's log-probabilities computed beforehand: chosen and rejected of 4 pairs in
//! one forward and one backward pass in float32, then AdamW over the adapter. As in `benches/peer_torch.py` a prompt is
//! computed for both answers, and the head is applied to completion positions only.

mod model;

use std::error::Error;
use std::time::Instant;

use burn::optim::{AdamW, AdamWConfig, AdamWState, Optimizer};
use burn::prelude::*;
use burn::tensor::Distribution;
use burn::tensor::activation::{log_sigmoid, log_softmax};
use burn::tensor::wgpu::WgpuBackend;
use model::{Adapter, Llama, VOCAB};
use serde_json::json;

const PAIRS: usize = 4;
const TOKENS: usize = 256;
/// Steps in which burn compiles and chooses its kernels, before those that are timed.
const WARM_UP: usize = 2;
const STEPS: usize = 3;
const BETA: f32 = 0.1;
const LEARNING_RATE: f64 = 1e-4;
const MAX_GRAD_NORM: f32 = 1.0;

fn main() -> Result<(), Box<dyn Error>> {
    let tokens = std::env::args().nth(1).map_or(Ok(TOKENS), |tokens| tokens.parse())?;
    let (device, setup) = Device::wgpu_options().graphics_api(WgpuBackend::Vulkan).init_with_setup()?;
    device.seed(7);
    let info = setup.adapter.get_info();
    let device = device.autodiff();
    let (model, adapter) = Llama::random(&device);
    for (case, prompt) in [("half of each sequence is the prompt", tokens / 2), ("no shared prompt", 1)] {
        let mut run = Run::new(&model, adapter.clone(), &device, tokens, prompt);
        let started = Instant::now();
        for _ in 0..WARM_UP {
            run.step()?;
        }
        let (warm_up, started) = (started.elapsed().as_secs_f64(), Instant::now());
        let losses = (0..STEPS).map(|_| run.step()).collect::<Result<Vec<f32>, _>>()?;
        let seconds = started.elapsed().as_secs_f64() / STEPS as f64;
        let line = json!({
            "case": case, "burn": env!("BURN_VERSION"), "cubecl": env!("CUBECL_VERSION"), "wgpu": env!("WGPU_VERSION"),
            "adapter": info.name, "driver": info.driver_info, "pairs": PAIRS, "tokens": tokens, "losses": losses,
            "seconds_of_warm_up": warm_up, "seconds": seconds,
            "tokens_per_second": (2 * PAIRS * tokens) as f64 / seconds,
        });
        println!("{line}");
    }
    Ok(())
}

/// A run over one batch.
struct Run<'a> {
    model: &'a Llama,
    device: &'a Device,
    adapter: Adapter,
    optimizer: AdamW,
    state: Vec<Option<AdamWState<2>>>,
    /// The chosen sequences, then the rejected ones.
    ids: Tensor<2, Int>,
    prompt: usize,
    /// Log-ratios of the pairs under the reference.
    reference: Tensor<1>,
}

impl<'a> Run<'a> {
    fn new(model: &'a Llama, adapter: Adapter, device: &'a Device, tokens: usize, prompt: usize) -> Self {
        let random = |rows: usize, columns: usize| {
            Tensor::<2, Int>::random([rows, columns], Distribution::Uniform(0.0, (VOCAB - 1) as f64), device)
        };
        let prompts = random(PAIRS, prompt).repeat(&[2, 1]);
        let ids = Tensor::cat(vec![prompts, random(2 * PAIRS, tokens - prompt)], 1);
        let optimizer = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(0.0).build();
        let state = vec![None; adapter.len()];
        // The adapter is fresh, so that the policy is the reference.
        let reference = log_ratios(model, &adapter, ids.clone(), prompt).detach();
        Self { model, device, adapter, optimizer, state, ids, prompt, reference }
    }

    /// One optimiser step, to its end on the device; the loss.
    fn step(&mut self) -> Result<f32, Box<dyn Error>> {
        let policy = log_ratios(self.model, &self.adapter, self.ids.clone(), self.prompt);
        let loss = -log_sigmoid((policy - self.reference.clone()) * BETA).mean();
        let mut gradients = loss.backward();
        let missing = "every matrix of the adapter has a gradient";
        let gradients: Vec<Tensor<2>> =
            self.adapter.iter().map(|matrix| matrix.grad_remove(&mut gradients).expect(missing)).collect();
        let squares = gradients.iter().map(|gradient| gradient.clone().square().sum()).collect();
        let norm = Tensor::cat(squares, 0).sum().sqrt();
        let clip = ((norm + 1e-6).recip() * MAX_GRAD_NORM).clamp_max(1.0).unsqueeze();
        for ((matrix, state), gradient) in self.adapter.iter_mut().zip(&mut self.state).zip(gradients) {
            let (before, gradient) = (matrix.clone().inner(), gradient * clip.clone());
            let (after, next) = self.optimizer.step(LEARNING_RATE, before, gradient, state.take());
            (*matrix, *state) = (after.autodiff().require_grad(), next);
        }
        let loss = loss.into_scalar::<f32>();
        self.device.sync()?;
        Ok(loss)
    }
}

/// For each pair, how much more probable the chosen answer is than the rejected one: the log of the ratio.
fn log_ratios(model: &Llama, adapter: &Adapter, ids: Tensor<2, Int>, prompt: usize) -> Tensor<1> {
    let completion = ids.dims()[1] - prompt;
    let answers = ids.clone().narrow(1, prompt, completion).unsqueeze_dim::<3>(2);
    let logits = model.logits(adapter, ids, prompt - 1);
    let log_probabilities = log_softmax(logits, 2).gather(2, answers).reshape([2 * PAIRS as i32, -1]).sum_dim(1);
    let [chosen, rejected] = [0, PAIRS].map(|first| log_probabilities.clone().narrow(0, first, PAIRS));
    (chosen - rejected).reshape([PAIRS])
}
