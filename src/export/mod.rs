//! Export: a recurrence as source code in another language, for programs without this library.
//!
//! A back end writes the verified [`Plan`](crate::Plan) of a program, instruction by instruction;
//! [`Program::interpret`](crate::Program::interpret) is the meaning of each. It knows no cell and no op by name: the text of a
//! pointwise op comes from calling its row with symbols.
//!
//! | file | task |
//! |---|---|
//! | `record` | parameters, inputs and outputs, one after the other |
//! | `memory` | the place of every buffer |
//! | `tree`, `trace` | expressions; that of a row of the op table |
//! | `module` | the function without the words of a language |
//! | `names` | identifiers |
//! | `dialect` | the words of a language inside of functions |
//! | `body`, `expression` | declarations and names in a function; expressions |
//! | `instructions`, `phases`, `functions` | from instructions to whole bodies, in any dialect |
//! | `helpers`, `single` | functions beside the code, if they are called; the same code in `f32` |
//! | `c/`, `rust/` | C99; Rust without the standard library |

mod body;
mod c;
mod dialect;
mod expression;
mod functions;
mod helpers;
mod instructions;
mod memory;
mod module;
mod names;
mod phases;
mod record;
mod rust;
mod single;
mod trace;
mod tree;

use crate::error::{Error, Result};
use crate::exec::{Program, Real};
use crate::plan::Instruction;
use c::C;
use memory::Memory;
use module::Module;
use record::Records;
use rust::Rust;

/// The language of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Language {
    /// C99, without libraries but that of the language.
    C,
    /// Rust without the standard library (`#![no_std]`) and without `unsafe`, with the crate `libm`.
    Rust,
}

/// The function of an export, which is called `NAME_step` or `NAME_…` after what it computes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Function {
    /// A run over a whole sequence, with this word for what it computes: `run`, `gradient`, `hessian_vector`.
    Whole(String),
    /// One step at a time, with the state in memory of the caller.
    Step,
}

/// The files of an export and the sizes that they state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// The files: name and text.
    pub files: Vec<(String, String)>,
    /// The name of the functions and types, an identifier.
    pub name: String,
    /// The numbers of all parameters.
    pub params: usize,
    /// The numbers of the outputs that do not vary with the step.
    pub outputs: usize,
    /// The numbers of the outputs of each step.
    pub outputs_per_step: usize,
    /// The numbers of the workspace of a run without steps, or of the state of a step.
    pub fixed: usize,
    /// The numbers of the workspace for each step.
    pub per_step: usize,
    /// The bytes of the arrays on the stack.
    pub stack: usize,
}

/// The words behind the name in other names of an export.
const PARTS: &[&str] = &[
    "workspace",
    "params",
    "sample",
    "input",
    "result",
    "output",
    "state",
    "start",
    "step",
    "results",
];

/// A target language.
trait Backend<F: Real> {
    /// The words that are no identifiers.
    fn reserved(&self) -> Vec<&'static str>;
    /// The files of a function.
    fn files(&self, module: &Module<'_, F>) -> Vec<(String, String)>;
}

impl<F: Real> Program<F> {
    /// The program as source code: a function for one sequence of any length, with the sizes of the program.
    ///
    /// `name` is the beginning of all names in the code; characters that are no letters are replaced. The files state the
    /// order of parameters, inputs and outputs. `docs/export.md` describes the interface.
    ///
    /// ```
    /// use bptt::export::{Function, Language};
    /// use bptt::{Recurrence, Wrt};
    /// let decay = Recurrence::parse("decay.rec", "input x\nparam a\nstate s\ns' = tanh(a * s + x)\nloss s'^2\n")?;
    /// let gradient = decay.gradient(Wrt::Parameters)?.compile::<f64>(&[])?;
    /// let exported = gradient.export(Language::C, "decay", &Function::Whole("gradient".into()))?;
    /// assert!(exported.files.iter().any(|(name, text)| name == "decay.h" && text.contains("int decay_gradient(")));
    /// # Ok::<(), bptt::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NotExportable`] for a custom op, and for a program with several directions; as for
    /// [`stepper`](Self::stepper) if a step needs later ones.
    pub fn export(&self, to: Language, name: &str, function: &Function) -> Result<Exported> {
        let by_step = *function == Function::Step;
        self.can_be_exported(to, by_step)?;
        let backend: &dyn Backend<F> = match to {
            Language::C => &C,
            Language::Rust => &Rust,
        };
        let reserved = backend.reserved();
        let records = Records::of(self, &reserved);
        let what = match function {
            Function::Whole(what) => names::Names::without(PARTS.iter().copied()).fresh(what),
            Function::Step => "step".into(),
        };
        let module = Module {
            program: self,
            memory: Memory::of(self.plan(), &records, by_step),
            records,
            name: names::Names::without(reserved).fresh(name),
            what,
            by_step,
        };
        Ok(Exported {
            files: backend.files(&module),
            params: module.records.params.len,
            outputs: module.records.results.len,
            outputs_per_step: module.records.rows.len,
            fixed: module.memory.fixed + module.memory.beside,
            per_step: module.memory.per_step,
            stack: module.stack(),
            name: module.name,
        })
    }

    fn can_be_exported(&self, to: Language, by_step: bool) -> Result<()> {
        let refuse = |reason: String| {
            Err(Error::NotExportable {
                recurrence: self.recurrence().name().into(),
                reason,
            })
        };
        if self.has_directions() {
            return refuse(
                "an exported function has one direction; export the program before `.directions(…)`".into(),
            );
        }
        for instruction in self.plan().instructions() {
            if let Instruction::Custom { op, .. } = instruction {
                let (name, to) = (op.rule().name(), to.name());
                return refuse(format!(
                    "the custom op `{name}` has no formula in {to}; write it with the ops of docs/functions.md"
                ));
            }
        }
        match by_step {
            true => self.check_causal(),
            false => Ok(()),
        }
    }
}

impl Language {
    const fn name(self) -> &'static str {
        match self {
            Self::C => "C",
            Self::Rust => "Rust",
        }
    }
}
