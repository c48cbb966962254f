//! Work that needs much memory is estimated first, and refused if it exceeds the limit. The limit applies to
//! the process, so there is a single test.

use bptt::cells::{Cell, Loss};
use bptt::check::random_data;
use bptt::data::Arrays;
use bptt::{Batch, Check, Error, Memory, Params, Recurrence, Wrt, memory_limit, set_memory_limit};
use ndarray::{Array2, Array3, ArrayD, arr0};

#[path = "support/allocator.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod allocator;
#[path = "support/folder.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod folder;

use allocator::peak;
use folder::Folder;

/// The number of bytes named by an error.
fn needed<T: std::fmt::Debug>(result: Result<T, Error>, what: &str) -> usize {
    match result {
        Err(Error::OutOfMemory { bytes, limit }) => {
            assert_eq!(limit, memory_limit(), "{what}");
            assert!(bytes > limit, "{what}: {bytes} against {limit}");
            bytes
        }
        other => panic!("{what}: {other:?}"),
    }
}

#[test]
fn what_needs_too_much_memory_is_refused() {
    assert!(memory_limit() > 1 << 20, "some memory is left");
    // The advised limit is enough, and two numbers that differ look different.
    let close = Error::OutOfMemory {
        bytes: 16_000_000_001,
        limit: 16_000_000_000,
    };
    let text = close.to_string();
    assert!(
        text.contains("16000000001 bytes needed, 16000000000 allowed"),
        "{text}"
    );
    assert!(text.contains("set_memory_limit(Some(15 << 30))"), "{text}");
    let lstm = Cell::lstm()
        .model("lstm", Loss::SquaredError)
        .expect("it is sound");
    let sizes = [("H", 8), ("K", 3), ("O", 2)];
    let (params, batch) = random_data(&lstm, &sizes, &[400; 4], 1).expect("there is room");
    let gradient = lstm.gradient(Wrt::Parameters).expect("it has one");
    let program = gradient.compile::<f64>(&sizes).expect("it fits");
    let unrolled = lstm.unroll_for(&params, &batch).expect("there is room");

    set_memory_limit(Some(100_000));
    needed(lstm.evaluate(&params, &batch), "evaluate");
    needed(lstm.unroll_for(&params, &batch), "unroll");
    needed(
        unrolled.gradient(Wrt::Parameters).map(|_| ()),
        "reverse mode",
    );
    needed(program.evaluate(&params, &batch), "a run");
    needed(Check::new(&lstm).run(&params, &batch), "check");
    needed(random_data(&lstm, &sizes, &[4000; 4], 1), "random data");
    let large = [("H", 800), ("K", 3), ("O", 2)];
    needed(Params::<f64>::initial(&lstm, &large, 1), "parameters");
    let zeros = |_: &str, shape: &[usize]| ArrayD::<f64>::zeros(shape);
    needed(Params::from_fn(&lstm, &large, zeros), "parameters");
    needed(
        lstm.derive()
            .and_then(|mut d| d.measure(&params, &batch).map(|_| ())),
        "derive",
    );
    // The same work is accepted under a higher limit.
    set_memory_limit(Some(1 << 30));
    assert!(program.evaluate(&params, &batch).is_ok());
    assert!(lstm.evaluate(&params, &batch).is_ok());

    // A derivation is checked on sizes of its own choice.
    for text in [
        "param w[100000, 100000]\nloss sum(w)\n",
        "param w[300, 300]\nstate h[300]\nh' = tanh(w @ h + 1)\nfinal loss sum(h')\n",
    ] {
        let fixed = Recurrence::parse("fixed.rec", text).expect("it is sound");
        let derivation = fixed.derive();
        needed(derivation.and_then(|mut d| d.check(1)), text);
    }

    // Lengths that are in no array allocate nothing.
    let none = Recurrence::parse("a.rec", "param p\nstate s = p\ns' = 0.5 * s\nloss s'\n");
    let none = none.expect("it is sound");
    let p = Params::new().with("p", arr0(1.0));
    let long = Batch::new(1_000_000_000, 1).with_lengths([1_000_000_000]);
    assert!(needed(none.evaluate(&p, &long), "evaluate") > 100 << 30);
    let gradient = none.gradient(Wrt::Parameters).expect("it has one");
    let program = gradient.compile::<f64>(&[]).expect("it fits");
    let program = program.memory(Memory::All);
    assert!(needed(program.evaluate(&p, &long), "a run") >= 8_000_000_000);
    let huge = Batch::new(usize::MAX >> 34, 1 << 30);
    assert!(none.evaluate(&p, &huge).is_err());
    assert!(program.evaluate(&p, &huge).is_err());

    files_are_estimated();
    set_memory_limit(None);
    estimates_are_near(&lstm);
}

/// Tables and tensors, whose arrays take more memory than the file.
fn files_are_estimated() {
    let folder = Folder::new("limits");
    let table = folder.file("x.csv");
    let digits = "1,2,3,4,5,6,7,8,9\n".repeat(100_000);
    std::fs::write(&table, format!("a,b,c,d,e,f,g,h,i\n{digits}")).expect("it is written");
    let tensors = folder.file("x.safetensors");
    let numbers = Arrays::new().with("x", Array2::<f64>::zeros((1000, 300)));
    numbers.write(&tensors).expect("it is written");
    set_memory_limit(Some(4 << 20));
    let (bytes, read) = (needed(Arrays::read(&table), "a table"), digits.len());
    assert!(bytes > read * 8, "{bytes} bytes for {read}");
    let bytes = needed(Arrays::read(&tensors), "tensors");
    assert!(bytes > 4_800_000, "{bytes} bytes");
    set_memory_limit(Some(1 << 30));
    assert!(Arrays::read(&tensors).is_ok(), "it fits");
    let (read, used) = peak(|| Arrays::read(&table).is_ok());
    assert!(read && used < digits.len() * 24, "{used} bytes");
}

/// Estimates agree with the actual use within a factor of three.
fn estimates_are_near(lstm: &Recurrence) {
    let rnn = Recurrence::parse(
        "r.rec",
        "input x\nparam w\nstate s\ns' = tanh(w * s + x)\nloss s'^2\n",
    );
    let rnn = rnn.expect("it is sound");
    let p = Params::new().with("w", arr0(0.5));
    let scalar = Batch::new(40_000, 1).with("x", Array2::ones((40_000, 1)));
    let sizes = [("H", 64), ("K", 3), ("O", 2)];
    let (params, batch) = random_data(lstm, &sizes, &[100; 20], 1).expect("there is room");
    let gradient = lstm.gradient(Wrt::Parameters).expect("it has one");
    let program = gradient.compile::<f64>(&sizes).expect("it fits");
    let program = program.memory(Memory::All);
    let long = Batch::new(600, 20)
        .with("x", Array3::ones((600, 20, 3)))
        .with("y", Array3::zeros((600, 20, 2)));
    let near = |what: &str, run: &dyn Fn() -> Option<usize>| {
        set_memory_limit(Some(1));
        let estimate = run().expect("it is refused");
        set_memory_limit(None);
        let (refused, used) = peak(run);
        assert!(refused.is_none(), "{what} fits");
        println!(
            "{what}: {} MiB estimated, {} used",
            estimate >> 20,
            used >> 20
        );
        assert!(
            used < estimate + estimate / 4,
            "{what}: {estimate} estimated, {used} used"
        );
        assert!(
            used > estimate / 3,
            "{what}: {estimate} estimated, {used} used"
        );
    };
    let bytes = |error: Option<Error>| match error {
        Some(Error::OutOfMemory { bytes, .. }) => Some(bytes),
        Some(other) => panic!("{other}"),
        None => None,
    };
    near("a scalar evaluated", &|| {
        bytes(rnn.evaluate(&p, &scalar).err())
    });
    near("an LSTM evaluated", &|| {
        bytes(lstm.evaluate(&params, &batch).err())
    });
    near("an LSTM run", &|| {
        bytes(program.evaluate(&params, &long).err())
    });
}
