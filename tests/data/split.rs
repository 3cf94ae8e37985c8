//! The split: near-duplicates of a prompt stay on one side, and old runs keep their held-out pairs.

use pairtune::data::{Record, SplitBy, held_out, prompt_groups, read_pairs};
use serde_json::{Value, json};

fn records(prompts: impl IntoIterator<Item = Value>) -> Vec<Record> {
    let row = |prompt: Value| match &prompt {
        Value::String(_) => json!({"prompt": prompt, "chosen": "a", "rejected": "b"}),
        _ => {
            let answer = |text: &str| json!([{"role": "assistant", "content": text}]);
            json!({"prompt": prompt, "chosen": answer("a"), "rejected": answer("b")})
        }
    };
    let file: String = prompts.into_iter().map(|prompt| format!("{}\n", row(prompt))).collect();
    read_pairs(file.as_bytes(), "x").expect("pairs").0
}

/// The groups of prompts in which similar ones are the same.
fn groups(prompts: &[&str]) -> Vec<usize> {
    prompt_groups(&records(prompts.iter().map(|&prompt| json!(prompt))), SplitBy::Similar)
}

#[test]
fn case_spaces_and_punctuation_do_not_make_another_prompt() {
    let prompts = ["How much is tea?", "how much  is TEA", "How much is tea ?!\n", "How much is coffee?", "?", "??"];
    assert_eq!(groups(&prompts), [0, 0, 0, 1, 2, 3], "signs alone are told apart");
    let exact = prompt_groups(&records(prompts.iter().map(|&prompt| json!(prompt))), SplitBy::Equal);
    assert_eq!(exact, [0, 1, 2, 3, 4, 5], "as versions before took them");
    assert_eq!(groups(&["国会的转发，从前有座山。", "国会的转发 从前有座山", "从前有座山"]), [0, 0, 1]);
}

#[test]
fn a_few_other_words_do_not_make_another_prompt() {
    let long = "Write a short story about a lighthouse keeper who finds a message in a bottle on a stormy night";
    let near =
        "Please write a short story about a lighthouse keeper who finds a message in a bottle on a stormy night.";
    let other = "Explain to a beginner how a sourdough starter is kept alive for years, and what to do when it smells";
    assert_eq!(groups(&[long, other, near]), [0, 1, 0]);
}

#[test]
fn a_template_makes_no_prompts_the_same() {
    let subject = ["tea", "rain", "a bicycle", "the sea", "old maps", "bread", "a ferry", "chess", "moss", "thunder"];
    let template = |i: usize| {
        let (what, n) = (subject[i % 10], i * i * 7919 % 10_007);
        json!(format!(
            "You are a helpful assistant of a harbour office and answer in a friendly voice. Keep to facts, name your \
             sources, and never promise anything. The question of visitor {n} is: tell me about {what}"
        ))
    };
    let records = records((0..200).map(template));
    let groups = prompt_groups(&records, SplitBy::Similar);
    assert!(groups.iter().max() >= Some(&190), "each is its own: {groups:?}");
    assert_eq!(held_out(&groups, 0.1, 7).expect("a split").len(), 20, "a tenth is held out");
}

#[test]
fn conversations_share_no_system_message_and_transcripts_no_answer() {
    let chat = |question: &str| {
        let system = "You are the assistant of a small seaside town and help visitors with all that they ask.";
        json!([{"role": "system", "content": system}, {"role": "user", "content": question}])
    };
    let of = |prompts: Vec<Value>| prompt_groups(&records(prompts), SplitBy::Similar);
    assert_eq!(of(vec![chat("When does the ferry leave?"), chat("Is it cold?"), chat("is it cold")]), [0, 1, 1]);
    let transcript = |words: &str| json!(format!("\n\nHuman: Is it cold?\n\nAssistant:{words}"));
    assert_eq!(of(vec![transcript(""), transcript(" I think"), transcript(" It")]), [0, 0, 0]);
}

#[test]
fn near_duplicates_are_on_one_side_of_every_split() {
    let prompt = |i: usize| {
        let (n, turn) = (i / 3, i % 3);
        let words: Vec<String> =
            (0..16).map(|word| format!("word{}", (n * 7919 + word * word * 104_729 + n * word * 31) % 9973)).collect();
        let text = words.join(" ");
        json!([text.clone(), text.to_uppercase(), format!("{text}, please!")][turn])
    };
    let records = records((0..150).map(prompt));
    let groups = prompt_groups(&records, SplitBy::Similar);
    for seed in 0..20 {
        let eval = held_out(&groups, 0.2, seed).expect("a split");
        assert!((30..33).contains(&eval.len()), "{} held out", eval.len());
        for triple in 0..50 {
            let sides: Vec<bool> = (0..3).map(|turn| eval.contains(&(3 * triple + turn))).collect();
            assert!(sides.iter().all(|side| *side == sides[0]), "seed {seed}, prompt {triple}: {sides:?}");
        }
    }
}

#[test]
fn prompts_that_are_all_different_are_split_as_before() {
    let records = records((0..60).map(|i| json!(format!("p{}", i % 20))));
    let [before, now] = [SplitBy::Equal, SplitBy::Similar].map(|by| prompt_groups(&records, by));
    assert_eq!(before, now, "so that a seed holds out the same pairs");
}
