//! Requests to the privileged helper.
#![no_main]

use agent_helper::protocol::{Request, line, read};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = read::<Request>(bytes) {
        assert_eq!(read::<Request>(&line(&request)).expect("as written"), request);
        if let Request::Insert { medium } = request {
            let path = std::path::Path::new("/store").join(medium.image.as_str());
            assert_eq!(path.parent(), Some(std::path::Path::new("/store")));
        }
    }
});
