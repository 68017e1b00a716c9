//! Every family of the fast encoder gives the ids of the `tokenizers` crate for any text (P5).

#![no_main]

use fast_support::{Pair, synthetic};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

#[path = "../../../core/tests/fast_support/mod.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod fast_support;

thread_local! {
    static PAIRS: Vec<Pair> = synthetic::PRE_TOKENIZERS
        .into_iter()
        .map(|(family, pre_tokenizer)| {
            let mut file = synthetic::train(pre_tokenizer);
            file["added_tokens"] = json!([
                synthetic::added("<s>", true, false),
                synthetic::added("the", false, true),
                synthetic::added("  ", false, true),
                synthetic::stripping(),
            ]);
            Pair::load(&file.to_string(), family)
        })
        .collect();
}

fuzz_target!(|text: &str| PAIRS.with(|pairs| pairs.iter().for_each(|pair| pair.check(text))));
