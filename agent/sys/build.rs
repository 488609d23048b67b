//! Compiles the part that speaks to OpenH264, against the header of the target's library, and what the
//! kernel's header says of its video interface.

fn main() {
    println!("cargo::rerun-if-changed=native");
    cc::Build::new()
        .file("native/h264.c")
        .file("native/v4l2.c")
        .std("c11")
        .warnings(true)
        .compile("bakelite_native");
    println!("cargo::rustc-link-lib=openh264");
}
