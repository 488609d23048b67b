#!/usr/bin/env python3
"""Uses published PiKVM clients, unmodified, on a device: HOST:PORT USER TOKEN IMAGE, then which one.

Prints one line a fact; an exception is a failure.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

host, user, token, image, which = sys.argv[1:6]
# pikvm-lib writes a log where it runs.
os.chdir(pathlib.Path(image).parent)


def tell(name, value):
    print(f"{name}={json.dumps(value)}", flush=True)


def pikvm_lib():
    from pikvm_lib import PiKVM

    kvm = PiKVM(host, user, token)
    tell("authenticated", kvm.isauth())
    tell("info", sorted(kvm.get_system_info()))
    kvm.ws_client.send_input("abC")
    kvm.hotkey("ctrl", "shift", "f12")
    tell("msd", kvm.get_msd_state()["enabled"])
    tell("atx", kvm.get_atx_state()["enabled"])
    tell("gpio", sorted(kvm.get_gpio_state()))
    picture = kvm.get_streamer_image()
    tell("picture", list(picture.size))
    tell("streamer", kvm.get_streamer_state()["streamer"]["source"]["online"])
    kvm.send_mouse_move_event(picture.size[0] // 2, picture.size[1] // 2)
    kvm.send_click("left")
    kvm.upload_msd_image(image)
    name = pathlib.Path(image).name
    kvm.set_msd_parameters(name, cdrom=True, flash=False)
    kvm.connect_msd()
    state = kvm.get_msd_state()
    tell("drive", [state["drive"]["image"]["name"], state["drive"]["cdrom"], state["drive"]["connected"]])
    kvm.disconnect_msd()
    tell("connected", kvm.get_msd_state()["drive"]["connected"])
    kvm.remove_msd_image(name)
    tell("images", sorted(kvm.get_msd_state()["storage"]["images"]))
    kvm.ws_client.close()


def kvm_pilot():
    from kvm_pilot.client import PiKVMDriver

    name, port = host.rsplit(":", 1)
    kvm = PiKVMDriver(name, user, token, port=int(port))
    tell("authenticated", kvm.check_auth())
    tell("info", sorted(kvm.check_api_enabled()))
    tell("metrics", "bakelite_video_live" in kvm.get_metrics())
    tell("signal", kvm.has_video_signal())
    tell("snapshot", kvm.snapshot()[:3].hex())
    tell("online", kvm.get_hid_state()["online"])
    kvm.type_text("xY!")
    time.sleep(1)
    kvm.press_key("F9")
    kvm.send_shortcut("ControlLeft,F10")
    kvm.mouse_move_percent(100, 100)
    kvm.mouse_scroll(0, -3)
    kvm.mount_iso(image)
    tell("mounted", kvm.get_msd_state()["drive"]["connected"])
    kvm.msd_reset()
    kvm.msd_remove_image(pathlib.Path(image).name)
    wrong = PiKVMDriver(name, user, "wrong", port=int(port))
    tell("wrong", wrong.check_auth())


def pikvm_cli():
    with tempfile.TemporaryDirectory() as home:
        def run(*arguments):
            made = subprocess.run([sys.executable, "-m", "pikvm_cli", *arguments], env={**os.environ, "HOME": home},
                                  capture_output=True, text=True, check=True)
            return made.stdout

        run("configure", "--url", f"https://{host}", "--username", user, "--password", token)
        tell("info", json.loads(run("info"))["ok"])
        tell("atx", json.loads(run("atx", "status"))["result"]["enabled"])


{"pikvm-lib": pikvm_lib, "kvm-pilot": kvm_pilot, "pikvm-cli": pikvm_cli}[which]()
