//! P5: the fast encoder gives the ids of the `tokenizers` crate on any valid UTF-8.

#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

mod fast_support;

use std::ops::Range;
use std::slice::from_ref;

use fast_support::{Pair, shared, synthetic};
use limbeck_core::tokenize::Tokens;
use limbeck_core::tokenize::encoder::{Encoder, EncoderScratch, Position};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Texts at the corners of the split patterns.
const CORNERS: &[&str] = &[
    "",
    " ",
    "  ",
    "a",
    "é",
    "\n",
    "\r\n",
    "\r\n\r\n  \t\n x",
    "it's IT'S it'S we'RE we'Re they'LL I'M I'D 'tis 'ſ x'ſ 'ſt 'lL 'l 'v 've'",
    "''s '' ' 's's'S",
    "x'sx x'tx x're x'rex x'LLx ABC'S ABC's abc'x",
    "hello  world   x    ",
    "hello \n world\n\n\n  x \n",
    "\t\ttabs\there \tthere",
    "\u{a0}nbsp\u{a0}\u{a0}x \u{3000}\u{3000}全角 \u{2028}x\u{2029} \u{85}x\u{b}\u{c}",
    "1234567 1 22 333 4444 a1b22c333 ١٢٣٤ Ⅷ½ ²³ x² 1\u{e9}2",
    " 1  2   3    4\n5 \n6",
    "!!! ?! ... ,. (a) [b] {c} <d> a/b/c //\n/\n\r/ x !\n\n! \n!",
    "...\r\n\r\n/// \r\n/ a.\n/b",
    "HelloWorld helloWORLD HELLOworld HeLLo hELLO aB Ab AB ab aBC ABc",
    "ÀÉÎ àéî Éa éA ǅ ǅa aǅ ǅǅ ªº ªA Aª ªAAAA AªAAA aª ªa",
    "\u{301} a\u{301} A\u{301} \u{301}A \u{301}\u{301}a !\u{301} \u{301}! 1\u{301} \n\u{301}",
    "e\u{301}e\u{301}E\u{301} \u{1100}\u{1161}\u{11a8} \u{212b}\u{2126} \u{344} \u{f900}",
    "中文字符 混合 English中文 日本語テキスト 한국어 עברית العربية हिन्दी ไทย",
    "😀👩\u{200d}👩\u{200d}👧\u{200d}👦 🇩🇪 ☃\u{fe0f} 1\u{fe0f}\u{20e3}",
    "a\0b\0\0c \0 d\0",
    "exactly15bytes! fifteenletters_ sixteenletterword abcdefghijklmno abcdefghijklmnop",
    "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz abcdefghijklmnoé abcdefghijklmnopé",
    "<|endoftext|> <|im_end|><think>x</think> <|im_start|>user\n",
    "<<3*5=15>>15 $1,234.56 = 20% x^2+y_1 \\frac{1}{2} C:\\path https://x.org/a?b=c#d",
    "the the the The THE  the\tthe\nthe",
    "\u{feff}bom \u{200b}zero \u{ad}soft \u{10ffff} \u{e000}",
];

/// Corner cases: themselves, cut everywhere, and in pairs.
fn check_corners(pair: &Pair) {
    for text in CORNERS {
        pair.check(text);
        for (cut, _) in text.char_indices() {
            pair.check(&text[cut..]);
            pair.check(&text[..cut]);
        }
        for other in CORNERS {
            pair.check(&format!("{text}{other}"));
        }
    }
}

/// Long runs, alone and with something at either end.
fn check_runs(pair: &Pair) {
    let units = [
        "a", "A", " ", "\n", "\r\n", "\t", "1", "!", "é", "中", "😀", "\u{301}", "'", "/",
        "\u{a0}", "ab", "aA", "Aa", " a", "a ", " \n", "\n ", "ªA", "'s", "1a", "=-", "\u{3000}",
        "\0",
    ];
    for unit in units {
        for count in [
            1, 2, 3, 7, 8, 14, 15, 16, 17, 30, 31, 32, 33, 48, 128, 129, 2000,
        ] {
            let run = unit.repeat(count);
            pair.check(&run);
            if count < 2000 {
                for end in ["a", " ", "\n", "1", "!", "é", " x"] {
                    pair.check(&format!("{run}{end}"));
                    pair.check(&format!("{end}{run}"));
                }
            }
        }
    }
}

/// Code points alone and among neighbours; every one where `stride` is 1.
fn check_code_points(pair: &Pair, stride: usize) {
    for c in ('\0'..=char::MAX).step_by(stride) {
        pair.check(c.encode_utf8(&mut [0; 4]));
        pair.check(&format!(
            "a{c}b A{c}B {c}c '{c} 1{c}2\n{c}  {c}{c}!{c}\t{c}"
        ));
    }
}

/// Characters where the patterns change their mind, the rest of Unicode now and then.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec![
            "a", "b", "Z", "the", " the", "é", "É", "ǅ", "ʰ", "中", "\u{301}", "\u{93e}", "1", "٣",
            "½", " ", "  ", "\t", "\n", "\r", "\r\n", "\u{a0}", "\u{3000}", "\u{2028}", "!", ".",
            "/", "'", "'s", "'LL", "'ſ", "-", "<<", "$", "😀", "\0", "_", "word", "Word", "WORD",
            "<sep>", "<sp", "ecial>", "<special>", "  <sep>", "<strip>", "e\u{301}", "\u{1161}", "\u{1100}",
        ]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
        1 => "[a-zA-Z]{1,20}",
        1 => "[0-9]{1,8}",
        1 => ("[ \n\ta-z1!=]", 1..40_usize).prop_map(|(unit, count)| unit.repeat(count)),
        1 => any::<String>(),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn check_random(pair: &Pair, cases: u32) {
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(cases);
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let result = runner.run(&text(), |text| {
        pair.check_starts(&text);
        Ok(())
    });
    result.unwrap();
}

fn check_all(pair: &Pair) {
    check_corners(pair);
    check_runs(pair);
    check_code_points(pair, 997);
    check_random(pair, 500);
}

#[test]
fn p5_gpt2() {
    let Some(json) = shared("tokenizers/gpt2.json") else {
        return;
    };
    check_all(&Pair::load(&json, "gpt2"));
}

#[test]
fn p5_qwen() {
    let Some(json) = shared("tokenizers/qwen.json") else {
        return;
    };
    check_all(&Pair::load(&json, "qwen2"));
}

#[test]
fn p5_every_family_with_and_without_merges() {
    for (family, pre_tokenizer) in synthetic::PRE_TOKENIZERS {
        let trained = synthetic::train(pre_tokenizer);
        for ignore_merges in [false, true] {
            for normalizer in [Value::Null, json!({"type": "NFC"})] {
                let mut file = trained.clone();
                file["model"]["ignore_merges"] = ignore_merges.into();
                file["normalizer"] = normalizer;
                let pair = Pair::load(&file.to_string(), family);
                check_random(&pair, 100);
                if ignore_merges {
                    check_corners(&pair);
                    check_runs(&pair);
                    check_code_points(&pair, 1999);
                }
            }
        }
    }
}

/// Every merge that makes a token, in the order of the tokens' ids, as vocabularies that come from ranks have
/// them; and tokens whose ids say nothing of the order of merges.
#[test]
fn p5_merges_of_any_order() {
    let (family, pre_tokenizer) = synthetic::PRE_TOKENIZERS[0];
    let trained = synthetic::train(pre_tokenizer);
    let vocab = trained["model"]["vocab"].as_object().unwrap();
    let id = |token: &str| vocab[token].as_u64().unwrap();
    let splits = |token: &String| {
        let places = token.char_indices().skip(1).map(|(at, _)| at);
        let halves = places.map(|at| token.split_at(at)).collect::<Vec<_>>();
        let known = halves
            .into_iter()
            .filter(|(first, second)| vocab.contains_key(*first) && vocab.contains_key(*second));
        known
            .map(|(first, second)| [first.to_owned(), second.to_owned()])
            .collect::<Vec<_>>()
    };
    let mut tokens: Vec<_> = vocab.keys().cloned().collect();
    tokens.sort_by_key(|token| id(token));
    let every: Vec<_> = tokens.iter().flat_map(splits).collect();
    assert!(every.len() > trained["model"]["merges"].as_array().unwrap().len());
    let mut of_ranks = trained.clone();
    of_ranks["model"]["merges"] = json!(every);
    let mut turned = trained.clone();
    let last = vocab.len() as u64 - 1;
    for (_, id) in turned["model"]["vocab"].as_object_mut().unwrap() {
        *id = (last - id.as_u64().unwrap()).into();
    }
    for file in [of_ranks, turned] {
        let pair = Pair::load(&file.to_string(), family);
        check_corners(&pair);
        check_runs(&pair);
        check_random(&pair, 300);
    }
}

/// A real vocabulary, cut by the patterns of the others.
#[test]
fn p5_every_pattern_on_a_real_vocabulary() {
    let Some(json) = shared("tokenizers/gpt2.json") else {
        return;
    };
    let mut file: Value = serde_json::from_str(&json).unwrap();
    for (family, pre_tokenizer) in synthetic::PRE_TOKENIZERS {
        file["pre_tokenizer"] = serde_json::from_str(pre_tokenizer).unwrap();
        let pair = Pair::load(&file.to_string(), family);
        CORNERS.iter().for_each(|text| pair.check_starts(text));
        check_random(&pair, 100);
    }
}

#[test]
fn p2_p5_added_tokens() {
    for (family, pre_tokenizer) in synthetic::PRE_TOKENIZERS {
        for normalizer in [Value::Null, json!({"type": "NFC"})] {
            let mut file = synthetic::train(pre_tokenizer);
            file["normalizer"] = normalizer;
            file["added_tokens"] = json!([
                synthetic::added("<special>", true, false),
                synthetic::added("<sep>", false, false),
                synthetic::added("<sep><special>", true, false),
                synthetic::added("cial><sep>", false, false),
                synthetic::added("  ", false, true),
                synthetic::added("e\u{301}", false, true),
                synthetic::added("the", false, true),
                synthetic::added("<'s>", true, true),
                synthetic::stripping(),
            ]);
            let pair = Pair::load(&file.to_string(), family);
            for text in [
                "a<sep>b <sep><special><sep> <special>cial><sep>",
                "<sep><sep>  <sep>   x    the e\u{301}é it's the's",
                "a  <strip> \n<strip>\tb e\u{301}<strip> e\u{301}",
                "<sep",
                "<sep>",
                "other<special>the <special><sep>the",
            ] {
                pair.check_starts(text);
            }
            let (_, starts) = pair.encode("a  <strip> \n<strip>\tb");
            assert_eq!(starts, [0, 1, 12, 20]);
            check_corners(&pair);
            check_random(&pair, 150);
        }
    }
}

#[test]
fn a_control_token_that_the_model_would_make_of_text_is_refused() {
    let mut file = synthetic::train(synthetic::PRE_TOKENIZERS[0].1);
    file["added_tokens"] = json!([synthetic::added("'s", true, false)]);
    let json = file.to_string();
    for encoder in [Encoder::read(&json), Encoder::read_reference(&json)] {
        let (scratch, tokens) = (&mut EncoderScratch::default(), &mut Tokens::default());
        let encoder = encoder.unwrap();
        let mut encode = |text: &str, literals: &[Range<usize>]| {
            encoder.encode(text, literals, Position::Start, scratch, tokens)
        };
        let refused = encode("it's", &[]).unwrap_err();
        assert!(refused.contains("\"'s\", a control token"), "{refused}");
        assert_eq!(encode("it's", from_ref(&(0..4))), Ok(()));
        assert_eq!(encode("it is", &[]), Ok(()));
    }
}

#[test]
fn p5_a_megabyte_of_one_letter() {
    for (family, pre_tokenizer) in synthetic::PRE_TOKENIZERS {
        let trained = synthetic::train(pre_tokenizer);
        let pair = Pair::load(&trained.to_string(), family);
        for unit in ["a", " ", "é", "=", "\n"] {
            // The regex engine of the reference gives up on longer runs of white space.
            pair.check(&unit.repeat(200_000));
            assert!(pair.encode(&unit.repeat(1_000_000)).0 > 0);
        }
    }
}

#[test]
fn what_is_not_proven_is_left_to_the_reference() {
    let (name, pre_tokenizer) = synthetic::PRE_TOKENIZERS[0];
    let trained = synthetic::train(pre_tokenizer);
    assert_eq!(fast_support::family(&trained), Some(name));
    let tokens = [json!({
        "id": 0, "content": "\u{e9}", "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": false,
    })];
    for (place, value) in [
        ("/normalizer", json!({"type": "Lowercase"})),
        ("/pre_tokenizer", Value::Null),
        ("/pre_tokenizer", json!({"type": "Whitespace"})),
        ("/pre_tokenizer/add_prefix_space", json!(true)),
        ("/model/end_of_word_suffix", json!("</w>")),
        ("/model/continuing_subword_prefix", json!("##")),
        ("/model/vocab", json!({"a": 0})),
        // The vocabulary has it as the name of one byte, the text as two.
        ("/added_tokens", json!(tokens)),
    ] {
        let mut file = trained.clone();
        *file.pointer_mut(place).unwrap() = value;
        if place == "/model/vocab" || place.ends_with("prefix") {
            file["model"]["merges"] = json!([]);
        }
        assert_eq!(fast_support::family(&file), None, "{place}");
    }
}

/// All of the corpus; minutes, so only when asked for.
#[test]
#[ignore = "minutes: the whole corpus through the reference"]
fn p5_corpus() {
    let Ok(corpus) = std::env::var("LIMBECK_CORPUS") else {
        eprintln!("skipped: LIMBECK_CORPUS does not name the unpacked corpus.jsonl");
        return;
    };
    for (name, family) in [("gpt2", "gpt2"), ("qwen", "qwen2")] {
        let Some(json) = shared(&format!("tokenizers/{name}.json")) else {
            return;
        };
        let pair = Pair::load(&json, family);
        let texts = fast_support::corpus_texts(&corpus);
        let bytes: usize = texts.iter().map(String::len).sum();
        texts.iter().for_each(|text| pair.check(text));
        eprintln!("{name}: {} texts, {bytes} bytes equal", texts.len());
    }
}

/// Every code point, alone and among neighbours.
#[test]
#[ignore = "minutes: every code point through the reference"]
fn p5_every_code_point() {
    for (name, family) in [("gpt2", "gpt2"), ("qwen", "qwen2")] {
        let Some(json) = shared(&format!("tokenizers/{name}.json")) else {
            return;
        };
        check_code_points(&Pair::load(&json, family), 1);
    }
    for (family, pre_tokenizer) in synthetic::PRE_TOKENIZERS {
        let trained = synthetic::train(pre_tokenizer);
        check_code_points(&Pair::load(&trained.to_string(), family), 1);
    }
}
