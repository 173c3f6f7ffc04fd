"""A real browser: headless Chromium with a profile of its own that knows the platform's names and its authority."""

from __future__ import annotations

import base64
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from ..lab import engine

PATIENCE = 90  # seconds for a page, on a machine that does many other things
# authentik's forms are web components: their fields lie below shadow roots, where selectors do not look.
FIND = """
const find = root => {
  const found = root.querySelector(arguments[0]);
  if (found) return found;
  for (const element of root.querySelectorAll('*'))
    if (element.shadowRoot) { const inner = find(element.shadowRoot); if (inner) return inner; }
  return null;
};
return find(document);
"""
# A request of the page's own, with its cookies: [status, text].
FETCH = """
const [method, path, body, done] = arguments;
const cookie = (document.cookie.match(/authentik_csrf=([^;]+)/) || [])[1] || '';
fetch(path, {
  method, body: body === null ? undefined : JSON.stringify(body),
  headers: {'Content-Type': 'application/json', 'X-authentik-CSRF': cookie},
}).then(async answer => done([answer.status, await answer.text()]));
"""


class Browser:
    """What a person does: open, read, type, press."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        self.driver.get(url)

    def wait(self, for_what: Callable[[], Any], what: str) -> Any:
        """The first true answer. Says where the browser was when none came."""
        try:
            return WebDriverWait(
                self.driver, PATIENCE, poll_frequency=0.5, ignored_exceptions=[Exception]
            ).until(lambda _driver: for_what())
        except Exception as error:
            raise AssertionError(f"{what}: not at {self.driver.current_url}: {self.text[:500]}") from error

    def at(self, url: str) -> None:
        """Wait until the address begins so."""
        self.wait(lambda: self.driver.current_url.startswith(url), f"waited for {url}")

    def find(self, selector: str) -> WebElement:
        """An element, in a shadow root too, as soon as it is there and can be used."""

        def usable() -> WebElement | None:
            found = self.driver.execute_script(FIND, selector)
            return found if found and found.is_displayed() else None

        return self.wait(usable, f"waited for {selector}")

    def fill(self, selector: str, text: str) -> None:
        """Type into a field and press Enter."""
        self.find(selector).send_keys(text, Keys.ENTER)

    def fetch(self, path: str, method: str = "GET", body: Any = None) -> tuple[int, str]:
        """What the page itself gets from its server."""
        status, text = self.driver.execute_async_script(FETCH, method, path, body)
        return status, text

    @property
    def text(self) -> str:
        return self.driver.find_element(By.TAG_NAME, "body").text

    def sign_in(self, sign_on: str, name: str, password: str) -> None:
        """At authentik: the name, then the password."""
        self.at(sign_on)
        self.fill("input[name=uidField]", name)
        self.fill("input[name=password]", password)


@contextmanager
def browser(address: str, certificate: bytes) -> Iterator[Browser]:
    """A new browser that finds every name of the lab at `address` and believes the PEM certificate and no other."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        engine.install_packages("chromium", "chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    with tempfile.TemporaryDirectory(prefix="hearth-browser-") as profile:
        for argument in (
            "--headless=new",
            "--no-sandbox",  # as root in a container
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--disable-background-networking",
            "--no-first-run",
            "--window-size=1280,900",
            f"--user-data-dir={profile}",
            f"--host-resolver-rules=MAP *.hearth.lan {address}",
            f"--ignore-certificate-errors-spki-list={_pin(certificate)}",
        ):
            options.add_argument(argument)
        driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
        driver.set_page_load_timeout(PATIENCE)
        driver.set_script_timeout(PATIENCE)
        try:
            yield Browser(driver)
        finally:
            driver.quit()


def _pin(certificate: bytes) -> str:
    key = x509.load_pem_x509_certificate(certificate).public_key()
    encoded = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(encoded).digest()).decode()
