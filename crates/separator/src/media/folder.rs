//! Where files lie: `media/<two digits>/<id>`, and `<id>.part` while they arrive.
//!
//! An id begins with its time, so the folders are named by its last two digits, which are chance.

use std::{
    io,
    path::{Path, PathBuf},
};

use futures_util::{Stream, StreamExt as _};
use tokio::{
    fs::{self, File},
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufWriter},
};
use uuid::Uuid;

/// Bytes gathered before they go to the disk.
const BUFFER: usize = 128 * 1024;
const PART: &str = "part";

/// Why a stream did not become a file.
#[derive(Debug)]
pub(super) enum Interrupted<E> {
    /// More bytes came than are allowed.
    TooLarge,
    /// The stream broke off.
    Stream(E),
    /// The disk refused.
    Disk(io::Error),
}

impl<E> From<io::Error> for Interrupted<E> {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// The folder of the files.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    /// The folder below the data folder; it is made when the first file comes.
    pub(super) fn within(data_dir: &Path) -> Self {
        Self {
            root: data_dir.join("media"),
        }
    }

    /// Where a file lies.
    pub(super) fn path(&self, id: Uuid) -> PathBuf {
        let name = id.simple().to_string();
        self.root.join(&name[name.len() - 2..]).join(name)
    }

    fn part(&self, id: Uuid) -> PathBuf {
        self.path(id).with_extension(PART)
    }

    /// Opens a file for reading and tells its size.
    pub(super) async fn open(&self, id: Uuid) -> io::Result<(File, u64)> {
        let file = File::open(self.path(id)).await?;
        let size = file.metadata().await?.len();
        Ok((file, size))
    }

    /// Writes a stream to disk, at most `limit` bytes of it, and gives the number of bytes. When this returns, the file
    /// is whole and survives a power failure; otherwise nothing is left of it.
    pub(super) async fn receive<B, E>(
        &self,
        id: Uuid,
        stream: impl Stream<Item = Result<B, E>> + Unpin,
        limit: u64,
    ) -> Result<u64, Interrupted<E>>
    where
        B: AsRef<[u8]>,
    {
        let part = self.part(id);
        let outcome = self.write(id, &part, stream, limit).await;
        if outcome.is_err() {
            // What cannot be removed now is removed by the next sweep.
            drop(fs::remove_file(&part).await);
        }
        outcome
    }

    async fn write<B, E>(
        &self,
        id: Uuid,
        part: &Path,
        mut stream: impl Stream<Item = Result<B, E>> + Unpin,
        limit: u64,
    ) -> Result<u64, Interrupted<E>>
    where
        B: AsRef<[u8]>,
    {
        let path = self.path(id);
        let shelf = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(shelf).await?;
        let mut file = BufWriter::with_capacity(BUFFER, File::create(part).await?);
        let mut size = 0;
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(Interrupted::Stream)?;
            size += piece.as_ref().len() as u64;
            if size > limit {
                return Err(Interrupted::TooLarge);
            }
            file.write_all(piece.as_ref()).await?;
        }
        file.flush().await?;
        file.into_inner().sync_all().await?;
        fs::rename(part, &path).await?;
        // A name is on disk once its folder is, and the folder's name once the folder above is.
        File::open(shelf).await?.sync_all().await?;
        File::open(&self.root).await?.sync_all().await?;
        Ok(size)
    }

    /// The first bytes of a file, at most `count`.
    pub(super) async fn head(file: &mut File, count: usize) -> io::Result<Vec<u8>> {
        let mut head = Vec::with_capacity(count);
        file.take(count as u64).read_to_end(&mut head).await?;
        Ok(head)
    }

    /// Removes a file; one that is not there is as good as removed.
    pub(super) async fn remove(&self, id: Uuid) -> io::Result<()> {
        match fs::remove_file(self.path(id)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes beginnings of files whose fetching was cut off; those that `keep` names are left. Gives their number.
    pub(super) async fn remove_parts(&self, keep: impl Fn(Uuid) -> bool) -> io::Result<usize> {
        let mut removed = 0;
        let mut shelves = match fs::read_dir(&self.root).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            shelves => shelves?,
        };
        while let Some(shelf) = shelves.next_entry().await? {
            if !shelf.file_type().await?.is_dir() {
                continue;
            }
            let mut files = fs::read_dir(shelf.path()).await?;
            while let Some(file) = files.next_entry().await? {
                let path = file.path();
                let Some(id) = id_of_part(&path) else {
                    continue;
                };
                if !keep(id) && fs::remove_file(&path).await.is_ok() {
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }
}

fn id_of_part(path: &Path) -> Option<Uuid> {
    if path.extension()? != PART {
        return None;
    }
    Uuid::parse_str(path.file_stem()?.to_str()?).ok()
}

#[cfg(test)]
pub(super) mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::stream;

    use super::*;

    /// A data folder that is removed when the test ends, whichever way.
    pub(crate) struct DataDir(PathBuf);

    impl DataDir {
        pub(crate) fn new() -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("separator-media-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        pub(crate) fn path(&self) -> &Path {
            &self.0
        }

        pub(in crate::media) fn folder(&self) -> Folder {
            Folder::within(&self.0)
        }

        /// Everything that lies in the folder of the files.
        pub(in crate::media) fn files(&self) -> Vec<String> {
            let mut names = Vec::new();
            for shelf in std::fs::read_dir(self.0.join("media"))
                .into_iter()
                .flatten()
            {
                for file in std::fs::read_dir(shelf.unwrap().path()).unwrap() {
                    names.push(file.unwrap().file_name().into_string().unwrap());
                }
            }
            names.sort();
            names
        }
    }

    impl Drop for DataDir {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }

    fn pieces(pieces: &[&'static str]) -> impl Stream<Item = Result<&'static str, ()>> + Unpin {
        stream::iter(pieces.iter().map(|piece| Ok(*piece)).collect::<Vec<_>>())
    }

    const ID: Uuid = Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_00af);

    #[tokio::test]
    async fn a_stream_becomes_a_file_under_its_last_digits() {
        let data = DataDir::new();
        let folder = data.folder();
        assert_eq!(
            folder
                .receive(ID, pieces(&["one ", "two"]), 7)
                .await
                .unwrap(),
            7
        );
        assert_eq!(
            folder.path(ID),
            data.path()
                .join("media/af/019800000000700080000000000000af")
        );
        let (mut file, size) = folder.open(ID).await.unwrap();
        assert_eq!(size, 7);
        assert_eq!(Folder::head(&mut file, 5).await.unwrap(), b"one t");
        assert_eq!(data.files().len(), 1, "no part is left");
        folder.remove(ID).await.unwrap();
        folder.remove(ID).await.unwrap();
        assert!(data.files().is_empty());
    }

    #[tokio::test]
    async fn of_a_stream_that_is_too_long_or_breaks_off_nothing_is_left() {
        let data = DataDir::new();
        let folder = data.folder();
        let long = folder.receive(ID, pieces(&["one ", "two"]), 6).await;
        assert!(matches!(long, Err(Interrupted::TooLarge)));
        let broken = stream::iter([Ok("one"), Err("cut")]);
        let broken = folder.receive(ID, broken, 6).await;
        assert!(matches!(broken, Err(Interrupted::Stream("cut"))));
        assert!(data.files().is_empty());
    }

    #[tokio::test]
    async fn only_parts_that_nobody_writes_are_removed() {
        let data = DataDir::new();
        let folder = data.folder();
        assert_eq!(
            folder.remove_parts(|_| false).await.unwrap(),
            0,
            "no folder yet"
        );
        let (orphan, written) = (Uuid::from_u128(1), Uuid::from_u128(2));
        folder.receive(ID, pieces(&["whole"]), 10).await.unwrap();
        for id in [orphan, written] {
            std::fs::create_dir_all(folder.path(id).parent().unwrap()).unwrap();
            std::fs::write(folder.part(id), "beginning").unwrap();
        }
        assert_eq!(folder.remove_parts(|id| id == written).await.unwrap(), 1);
        assert!(!folder.part(orphan).exists() && folder.part(written).exists());
        assert!(folder.path(ID).exists());
    }
}
