//! A file on disk as a `ByteSource`, for the examples.

use std::cell::RefCell;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

use pairtune::error::{Error, Result};
use pairtune::platform::{ByteSource, LocalFuture};

pub(crate) struct FileSource {
    name: String,
    file: RefCell<File>,
    len: u64,
}

impl FileSource {
    pub(crate) fn open(name: &str) -> Box<dyn ByteSource> {
        let file = File::open(name).expect("the file can be opened");
        let len = file.metadata().expect("the file has a length").len();
        Box::new(Self { name: name.to_owned(), file: RefCell::new(file), len })
    }
}

impl ByteSource for FileSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, len: usize) -> LocalFuture<'_, Result<Vec<u8>>> {
        Box::pin(async move {
            let failed = |e: std::io::Error| Error::input(e.to_string(), "Check the file", self.name.clone());
            let mut bytes = vec![0; len];
            let mut file = self.file.borrow_mut();
            file.seek(SeekFrom::Start(offset)).map_err(failed)?;
            file.read_exact(&mut bytes).map_err(failed)?;
            Ok(bytes)
        })
    }
}
