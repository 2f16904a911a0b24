// browser.mjs -- examples/edge/index.html in a browser without a window: it is drawn on by pointer events and says what it sees; and what it
// computes of a picture is what Node.js computes.
//     node browser.mjs FOLDER BROWSER [OPTION...]      FOLDER: with mlp.wasm and picture.raw (28 x 28 greys)
import {spawn} from 'node:child_process';
import {mkdtempSync, readFileSync, rmSync} from 'node:fs';
import {createServer} from 'node:http';
import {join} from 'node:path';

const [folder, browser, ...options] = process.argv.slice(2), page = `${process.env.ROOT}/examples/edge`;
const {classify} = await import(`${page}/page.mjs`);
const {modelOpen} = await import(`${page}/modelc.mjs`);

// Behind the page's own script, which has begun before: waits for it, draws, clears, classifies, and sends what it saw.
const script = `
const answer = document.getElementById('answer'), canvas = document.getElementById('drawing');
while (answer.textContent.startsWith('loading')) await new Promise((done) => setTimeout(done, 10));
const seen = {empty: answer.textContent};
for (let i = 40; i < 240; i += 10)
    canvas.dispatchEvent(new PointerEvent('pointermove', {buttons: 1, clientX: canvas.getBoundingClientRect().x + 140, clientY: canvas.getBoundingClientRect().y + i}));
seen.drawn = answer.textContent;
document.getElementById('clear').click();
seen.cleared = answer.textContent;
const {classify} = await import('./page.mjs'), {modelOpen} = await import('./modelc.mjs');
const bytes = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer());
seen.kinds = classify(await modelOpen(await bytes('mlp.wasm'), {memoryBytes: 4 << 20}), await bytes('picture.raw'));
await fetch('seen', {method: 'POST', body: JSON.stringify(seen)});
`;
const types = {html: 'text/html', mjs: 'text/javascript', wasm: 'application/wasm', raw: 'application/octet-stream'};

function file(name) {
    if (name === 'index.html') return readFileSync(join(page, name), 'utf8').replace('</html>', `<script type="module">${script}</script>\n</html>`);
    return readFileSync(join(/\.(wasm|raw)$/.test(name) ? folder : page, name));
}

const seen = await new Promise((done, failed) => {
    const server = createServer((request, response) => {
        const name = request.url.slice(1) || 'index.html';
        if (name === 'seen') {
            let text = '';
            request.on('data', (part) => { text += part; });
            request.on('end', () => { response.end(); finish(() => done(JSON.parse(text))); });
            return;
        }
        let body = null;
        try {
            body = file(name);
        } catch { /* favicon.ico, say */ }
        response.writeHead(body ? 200 : 404, {'Content-Type': types[name.split('.').pop()] ?? 'text/plain'}).end(body);
    });
    let running, home, ended = false;
    function stop() { // all its processes, whatever becomes of this one
        try {
            if (running?.pid) process.kill(-running.pid, 'SIGKILL');
        } catch { /* none is left */ }
    }
    for (const end of ['exit', 'SIGTERM', 'SIGINT']) process.on(end, () => { stop(); if (end !== 'exit') process.exit(1); });
    function finish(then) {
        if (ended) return;
        ended = true;
        stop();
        server.close();
        server.closeAllConnections?.();
        then();
        if (home) setTimeout(() => rmSync(home, {recursive: true, force: true}), 200);
    }
    server.listen(0, '127.0.0.1', () => { // any free port
        home = mkdtempSync(join(folder, 'browser-'));
        running = spawn(browser, [...options, `--user-data-dir=${home}`, `http://127.0.0.1:${server.address().port}/`], {stdio: 'ignore', detached: true});
        running.on('error', (fault) => finish(() => failed(fault)));
        running.on('exit', (code) => finish(() => failed(new Error(`the browser ended with ${code}`))));
    });
});

const here = classify(await modelOpen(readFileSync(join(folder, 'mlp.wasm')), {memoryBytes: 4 << 20}), readFileSync(join(folder, 'picture.raw')));
console.log('says', /^[a-zT-]+ \d+ %, [a-zT-]+ \d+ %, [a-zT-]+ \d+ %$/.test(seen.empty) ? 'three kinds' : seen.empty);
console.log('a drawing is', seen.drawn === seen.empty ? 'not seen' : 'seen', 'and', seen.cleared === seen.empty ? 'cleared' : 'left');
console.log('a picture is', JSON.stringify(seen.kinds) === JSON.stringify(here) ? `a ${here[0].name}, as in Node.js` : JSON.stringify(seen.kinds));
