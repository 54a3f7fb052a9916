// `/docs` and `/redoc` in a real browser, against the server at MAINSTAY_URL. Any error in the console, any exception,
// any breach of the pages' policy and any request to somebody else fails the test, whatever the page looks like.
//
// MAINSTAY_CHROMIUM names the browser. With MAINSTAY_PICTURES a folder is filled with pictures to look at.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import http from 'node:http';
import { after, before, test } from 'node:test';

import puppeteer from 'puppeteer-core';

const SERVER = process.env.MAINSTAY_URL;
const PICTURES = process.env.MAINSTAY_PICTURES;
const PASSWORD = 'seven green lanterns';
// Generous: it bounds a hang, and a machine may be busy.
const WAIT_MS = 90_000;

let browser;

before(async () => {
  assert.ok(SERVER, 'MAINSTAY_URL names the server');
  if (PICTURES) await mkdir(PICTURES, { recursive: true });
  // Chromium's sandbox refuses to run as root, as which CI often runs.
  const asRoot = process.getuid() === 0 ? ['--no-sandbox'] : [];
  browser = await puppeteer.launch({
    executablePath: process.env.MAINSTAY_CHROMIUM ?? '/usr/bin/chromium',
    args: [...asRoot, '--disable-dev-shm-usage'],
    timeout: WAIT_MS,
    protocolTimeout: WAIT_MS,
  });
});

after(() => browser?.close());

/** A page in a profile of its own, and what went wrong on it. */
async function open(path, { origin = SERVER, language = 'en-US', width = 1280 } = {}) {
  const profile = await browser.createBrowserContext();
  const page = await profile.newPage();
  page.setDefaultTimeout(WAIT_MS);
  await page.setViewport({ width, height: 900 });
  const faults = [];
  const refusals = new Set();
  page.on('pageerror', (error) => faults.push(`exception: ${error.stack ?? error}`));
  page.on('console', (message) => {
    // Chromium reports every 4xx as an error; those that a test asks for are no fault.
    const isRefusal = message.text().startsWith('Failed to load resource') && refusals.has(message.location().url);
    if (message.type() === 'error' && !isRefusal) faults.push(`console: ${message.text()} ${message.location().url}`);
  });
  page.on('request', (request) => {
    const { protocol, origin: to } = new URL(request.url());
    if (protocol !== 'data:' && to !== origin) faults.push(`request to another origin: ${request.url()}`);
  });
  page.on('requestfailed', (request) => faults.push(`failed: ${request.url()} ${request.failure()?.errorText}`));
  await page.evaluateOnNewDocument((language) => {
    Object.defineProperty(navigator, 'language', { get: () => language });
    window.breaches = [];
    document.addEventListener('securitypolicyviolation', (event) => {
      window.breaches.push(`policy: ${event.violatedDirective} ${event.blockedURI}`);
    });
    // Timers that are minutes away are kept, to be let off by a test instead of waited for.
    window.late = new Map();
    const { setTimeout: start, clearTimeout: stop } = window;
    window.setTimeout = (run, ms, ...rest) => {
      if (!(ms > 60_000)) return start(run, ms, ...rest);
      const id = -1 - window.late.size;
      window.late.set(id, run);
      return id;
    };
    window.clearTimeout = (id) => (window.late.has(id) ? window.late.set(id, null) : stop(id));
  }, language);
  const answer = await page.goto(origin + path);
  assert.equal(answer.status(), 200);
  return {
    page,
    refusals,
    picture: async (name, fullPage = false) =>
      PICTURES && page.screenshot({ path: `${PICTURES}/${name}.png`, fullPage }),
    /** Nothing went wrong. */
    async end() {
      faults.push(...(await page.evaluate(() => window.breaches)));
      assert.deepEqual(faults, []);
      await profile.close();
    },
  };
}

/** Waits until the element has this text in it. */
async function shows(page, selector, text) {
  try {
    await page.waitForFunction(
      (selector, text) => [...document.querySelectorAll(selector)].some((one) => one.textContent.includes(text)),
      {},
      selector,
      text,
    );
  } catch (error) {
    const there = await page.$$eval(selector, (all) => all.map((one) => one.textContent));
    throw new Error(`${selector} does not show "${text}" but ${JSON.stringify(there)}`, { cause: error });
  }
}

/** Opens an operation on /docs and makes it ready to send; the element that holds it. */
async function tryOut(page, tag, id) {
  const block = `#operations-${tag}-${id}`;
  await page.locator(`${block} .opblock-summary-control`).click();
  await page.locator(`${block} .try-out__btn`).click();
  await page.waitForSelector(`${block} .execute`);
  return block;
}

/** Sends what stands there and waits for an answer of this status. */
async function execute(page, block, status) {
  await page.locator(`${block} .execute`).click();
  await shows(page, `${block} .live-responses-table .response-col_status`, String(status));
}

/** Puts text into a field in the way a person does. */
async function fill(page, selector, text) {
  await page.locator(selector).click();
  await page.keyboard.down('Control');
  await page.keyboard.press('KeyA');
  await page.keyboard.up('Control');
  await page.keyboard.type(text);
}

const newAddress = () => `ada-${process.pid}-${Date.now()}@example.com`;

test('a newcomer registers, signs in, posts, and signs out', async () => {
  const { page, refusals, picture, end } = await open('/docs');
  await page.waitForSelector('.opblock');
  await picture('docs-1280');
  const email = newAddress();

  // Register by "Try it out": the example, with an address of one's own.
  const register = await tryOut(page, 'auth', 'register');
  const body = `${register} textarea`;
  const example = await page.$eval(body, (area) => area.value);
  assert.equal(JSON.parse(example).password, PASSWORD);
  await fill(page, body, example.replace('ada@example.com', email));
  await execute(page, register, 201);

  // A wrong password is told in words; with the keyboard alone from here.
  refusals.add(`${SERVER}/api/v1/auth/login`);
  await page.focus('#bar input[name=email]');
  await page.keyboard.type(email);
  await page.keyboard.press('Tab');
  await page.keyboard.type('not the password');
  await page.keyboard.press('Enter');
  await shows(page, '#bar [role=status].bad', 'password');
  refusals.clear();
  await fill(page, '#bar input[name=password]', PASSWORD);
  await page.keyboard.press('Enter');
  await shows(page, '#bar .who', email);
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Sign out');
  await picture('docs-signed-in-1280');

  // The example of a post is good as it stands.
  const create = await tryOut(page, 'posts', 'create_post');
  await execute(page, create, 201);
  await picture('docs-created-1280');
  const list = await tryOut(page, 'posts', 'list_posts');
  await execute(page, list, 200);

  // Before the token dies it is exchanged, and the page goes on with the new one.
  const refreshed = page.waitForResponse((answer) => answer.url().endsWith('/auth/refresh'));
  const sent = await page.evaluate(() => {
    const [run, ...more] = [...window.late.values()].filter(Boolean);
    run();
    return more.length;
  });
  assert.equal(sent, 0, 'one timer waits for the end of the token');
  assert.equal((await refreshed).status(), 200);
  await page.waitForFunction(() => window.late.size === 2);
  await execute(page, create, 201);

  const kept = await page.evaluate(() => [Object.keys(localStorage), Object.keys(sessionStorage), document.cookie]);
  assert.deepEqual(kept, [[], [], '']);

  await page.locator('#bar .who button').click();
  await shows(page, '#bar [role=status]', 'signed out');
  refusals.add(`${SERVER}/api/v1/posts`);
  await execute(page, create, 401);
  await end();
});

test('an account is made in the panel, and its faults are listed', async () => {
  const { page, refusals, picture, end } = await open('/docs', { width: 420 });
  await page.waitForSelector('.opblock');
  await picture('docs-420', true);
  // As wide as the panel above it.
  const width = (selector) => page.$eval(selector, (one) => one.getBoundingClientRect().width);
  assert.equal(await width('.operation-filter-input'), await width('#bar input[name=email]'));
  const email = newAddress();
  await page.locator('#bar button.plain').click();
  await fill(page, '#bar input[name=email]', email);
  await fill(page, '#bar input[name=password]', 'short');
  await fill(page, '#bar input[name=display_name]', 'Ada');
  refusals.add(`${SERVER}/api/v1/auth/register`);
  await page.keyboard.press('Enter');
  await shows(page, '#bar [role=status].bad li', 'password');
  await picture('docs-faults-420');
  refusals.clear();
  await fill(page, '#bar input[name=password]', PASSWORD);
  await page.keyboard.press('Enter');
  await shows(page, '#bar .who', email);
  await picture('docs-signed-in-420');
  await end();
});

test('the panel speaks Korean where the browser does', async () => {
  const { page, picture, end } = await open('/docs', { language: 'ko-KR' });
  await shows(page, '#bar button[type=submit]', '로그인');
  assert.equal(await page.$eval('html', (html) => html.lang), 'ko');
  await page.waitForSelector('.opblock');
  await picture('docs-ko-1280');
  await end();
});

test('both pages work behind a prefix', async () => {
  const { hostname, port } = new URL(SERVER);
  const proxy = http.createServer((request, response) => {
    if (!request.url.startsWith('/api-of/me/')) {
      response.writeHead(404).end();
      return;
    }
    const { method, headers, url } = request;
    const path = url.slice('/api-of/me'.length);
    const onward = http.request({ hostname, port, method, headers, path }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    request.pipe(onward);
  });
  await new Promise((ready) => proxy.listen(0, '127.0.0.1', ready));
  const origin = `http://127.0.0.1:${proxy.address().port}`;
  try {
    const docs = await open('/api-of/me/docs', { origin });
    await docs.page.waitForSelector('.opblock');
    await execute(docs.page, await tryOut(docs.page, 'system', 'get_health_live'), 200);
    await docs.end();
    const redoc = await open('/api-of/me/redoc', { origin });
    await redoc.page.waitForSelector('[data-section-id]');
    await redoc.end();
  } finally {
    proxy.closeAllConnections();
    proxy.close();
  }
});

test('Redoc shows the API, and its search finds an operation', async () => {
  const { page, picture, end } = await open('/redoc');
  await page.waitForSelector('[data-section-id]');
  await picture('redoc-1280');
  await page.locator('[role=search] input').fill('create');
  await shows(page, '[data-role="search:results"]', 'Create a post');
  await picture('redoc-search-1280');
  await page.setViewport({ width: 420, height: 900 });
  await picture('redoc-420');
  await end();
});
