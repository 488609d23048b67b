use super::*;
use futures_util::stream;

fn part(first: u64, length: u64, size: u64) -> Part {
    Part {
        first,
        length,
        size,
    }
}

async fn send(
    store: &Store,
    name: &str,
    part: Part,
    content: &[u8],
    expected: Option<&str>,
) -> Result<Entry, MediaError> {
    let chunks: Vec<Result<Bytes, ()>> = content
        .chunks(3)
        .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
        .collect();
    let name = name.parse().unwrap();
    store
        .receive(&name, part, expected, &mut stream::iter(chunks))
        .await
}

const SUM: &str = "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882";

#[tokio::test(flavor = "multi_thread")]
async fn an_image_comes_in_parts_over_restarts_and_is_whole_only_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let entry = send(&store, "a.iso", part(0, 4, 10), b"0123", None)
        .await
        .unwrap();
    assert_eq!((entry.received, entry.sha256), (4, None));
    assert!(!store.has(&entry.name));
    let gap = send(&store, "a.iso", part(5, 5, 10), b"56789", None).await;
    assert!(
        matches!(gap, Err(MediaError::Gap { received: 4, .. })),
        "{gap:?}"
    );
    // The connection ends within a part; what came is kept.
    let cut = send(&store, "a.iso", part(4, 6, 10), b"456", None).await;
    assert!(
        matches!(cut, Err(MediaError::Cut { received: 7, .. })),
        "{cut:?}"
    );
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.list().unwrap()[0].received, 7);
    let entry = send(&store, "a.iso", part(7, 3, 10), b"789", Some(SUM))
        .await
        .unwrap();
    assert_eq!(entry.sha256.as_deref(), Some(SUM));
    assert_eq!(store.list().unwrap(), std::slice::from_ref(&entry));
    assert_eq!(
        fs_err::read(folder.path().join("a.iso")).unwrap(),
        b"0123456789"
    );
    let again = send(&store, "a.iso", part(0, 1, 1), b"x", None).await;
    assert!(matches!(again, Err(MediaError::Exists { .. })));
    store.remove(&entry.name).unwrap();
    assert!(store.list().unwrap().is_empty());
    assert!(matches!(
        store.remove(&entry.name),
        Err(MediaError::Missing { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_image_of_the_same_name_begins_anew_and_a_wrong_one_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    send(&store, "a", part(0, 4, 10), b"0123", None)
        .await
        .unwrap();
    let entry = send(&store, "a", part(0, 2, 3), b"ab", None).await.unwrap();
    assert_eq!(
        (entry.received, entry.size),
        (2, 3),
        "another size is another image"
    );
    let wrong = send(&store, "a", part(2, 1, 3), b"c", Some(SUM)).await;
    assert!(
        matches!(wrong, Err(MediaError::Mismatch { .. })),
        "{wrong:?}"
    );
    assert!(store.list().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_is_not_taken_and_a_huge_one_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let more = send(&store, "a", part(0, 4, 10), b"012345", None).await;
    assert!(
        matches!(more, Err(MediaError::Cut { received: 3, .. })),
        "{more:?}"
    );
    let huge = send(&store, "b", part(0, 1, 1 << 60), b"0", None).await;
    assert!(matches!(huge, Err(MediaError::Full { .. })), "{huge:?}");
    assert_eq!(store.list().unwrap().len(), 1);
}
