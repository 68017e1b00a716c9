//! Rendering, chat templates and answers, as Python calls them.

use std::path::PathBuf;

use limbeck_core::tokenize::{Example, Fields, RenderConfig, RenderProblem};
use limbeck_core::{Error, answer, chat, tokenize};
use pyo3::prelude::*;

use crate::raise;

/// Turns records into token ids, as `prepare` does.
///
/// Args:
///     tokenizer: A directory with a tokenizer.json, or such a file.
///     render_json: The `render` object of a recipe, of a manifest or of limbeck.json.
///
/// Raises:
///     InputError: The tokenizer, the template or the chat template does not serve.
#[pyclass(frozen, module = "limbeck._native")]
pub struct Renderer(tokenize::Renderer);

#[pymethods]
impl Renderer {
    #[new]
    fn new(py: Python<'_>, tokenizer: PathBuf, render_json: &str) -> PyResult<Self> {
        let config: RenderConfig = serde_json::from_str(render_json).map_err(|error| {
            raise(Error::input(
                "render",
                error.to_string(),
                "pass the `render` object of a recipe or a manifest",
            ))
        })?;
        py.detach(|| tokenize::Renderer::load(&tokenizer, &config))
            .map(Self)
            .map_err(raise)
    }

    /// The ids of each question's prompt, which the student continues.
    fn prompt_ids(&self, py: Python<'_>, questions: Vec<String>) -> PyResult<Vec<Vec<u32>>> {
        py.detach(|| {
            let prompts = questions.iter().enumerate().map(|(index, question)| {
                let mut ids = Vec::new();
                match self.0.prompt(question, &mut ids) {
                    Ok(()) => Ok(ids),
                    Err(problem) => Err(problem_at(&format!("questions[{index}]"), problem)),
                }
            });
            prompts.collect::<Result<_, Error>>()
        })
        .map_err(raise)
    }

    /// A record's ids and the span kind code of each.
    #[pyo3(signature = (question, answer, rationale = None))]
    fn example(
        &self,
        py: Python<'_>,
        question: &str,
        answer: &str,
        rationale: Option<&str>,
    ) -> PyResult<(Vec<u32>, Vec<u8>)> {
        let mut example = Example::default();
        let fields = Fields {
            question: question.into(),
            answer,
            rationale,
        };
        py.detach(|| self.0.example(&fields, &mut example))
            .map_err(|problem| raise(problem_at(problem.field, problem.clone())))?;
        let kinds = example.kinds();
        Ok((example.ids, kinds))
    }

    /// Writes the tokenizer with its added tokens for `AutoTokenizer.from_pretrained`.
    fn save_tokenizer(&self, py: Python<'_>, directory: PathBuf) -> PyResult<()> {
        py.detach(|| self.0.save_tokenizer(&directory))
            .map_err(raise)
    }

    /// The resolved `render` object, as a manifest holds it.
    #[getter]
    fn render_json(&self) -> String {
        self.0.resolved().to_string()
    }

    /// The rows an embedding needs.
    #[getter]
    fn vocab_size(&self) -> usize {
        self.0.vocab_size()
    }
}

fn problem_at(place: &str, problem: RenderProblem) -> Error {
    Error::input(place, problem.problem, "mend or drop the record")
}

/// Renders a chat as transformers' `apply_chat_template(tokenize=False)` does, or refuses.
///
/// Args:
///     template: The Jinja source.
///     messages_json: A JSON list of messages.
///     variables_json: A JSON object: the template's keywords and special tokens. `strftime_now`
///         (`YYYY-MM-DD`) is the day that the function of this name tells.
///     add_generation_prompt: Whether the prompt for the assistant comes last.
///
/// Raises:
///     InputError: The template fails, or Python would render it differently.
#[pyfunction]
pub fn render_chat(
    py: Python<'_>,
    template: &str,
    messages_json: &str,
    variables_json: &str,
    add_generation_prompt: bool,
) -> PyResult<String> {
    py.detach(|| {
        chat::render_chat(
            template,
            messages_json,
            variables_json,
            add_generation_prompt,
        )
    })
    .map_err(raise)
}

/// The last explicit conclusion of a text, `None` where it has none.
#[pyfunction]
pub fn conclusion(text: &str) -> Option<&str> {
    answer::conclusion(text)
}

/// Whether two answers say the same: numbers, options, yes and no, else text.
#[pyfunction]
pub fn answers_equal(a: &str, b: &str) -> bool {
    answer::equal(a, b)
}
