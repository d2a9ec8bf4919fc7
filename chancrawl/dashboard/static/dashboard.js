// What the pages do besides: new numbers every five seconds, the reader's time zone, cards of quoted posts, charts.
// Without it, every page can be read.

const EVERY = 5000;
const status = document.getElementById("status");

// --- numbers

let isPaused = false;
const pause = document.getElementById("pause");
if (pause && document.querySelector("[data-live]")) {
  pause.hidden = false;
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.setAttribute("aria-pressed", String(isPaused));
    pause.textContent = isPaused ? "Go on with updates" : "Pause updates";
  });
}

const isInUse = (element) => {
  const selection = window.getSelection();
  return element.contains(document.activeElement) || element.matches(":hover") ||
    (selection && !selection.isCollapsed && selection.containsNode(element, true));
};

const update = (fresh) => {
  for (const element of document.querySelectorAll("[data-live]")) {
    const other = fresh.querySelector(`[data-live="${CSS.escape(element.dataset.live)}"]`);
    if (!other || isInUse(element)) continue;
    if (element.dataset.seen === undefined) element.dataset.seen = element.innerHTML.trim();
    const text = other.innerHTML.trim();
    if (element.dataset.seen === text) continue;
    element.dataset.seen = text;
    // Nodes that the server has escaped; a script among them would not run, and there is none.
    if ("liveHtml" in element.dataset) element.replaceChildren(...document.importNode(other, true).childNodes);
    else element.textContent = other.textContent;
    localTimes(element);
  }
  const isNew = [...fresh.querySelectorAll("[data-live]")].some(
    (other) => !document.querySelector(`[data-live="${CSS.escape(other.dataset.live)}"]`));
  const isIdle = [document.body, null].includes(document.activeElement) && window.getSelection().isCollapsed;
  if (isNew && isIdle) location.reload(); // a new board, or the first numbers
  const more = document.getElementById("more");
  const before = document.querySelectorAll("main article.post").length;
  const after = fresh.querySelectorAll("main article.post").length;
  if (more && after > before) {
    more.textContent = `${after - before} new ${after - before === 1 ? "post" : "posts"}: `;
    const link = document.createElement("a");
    link.href = location.href;
    link.textContent = "show";
    link.addEventListener("click", (event) => { event.preventDefault(); location.reload(); });
    more.append(link);
    more.hidden = false;
  }
};

let isOff = false;
const refresh = async () => {
  if (isPaused || document.hidden) return;
  try {
    const answer = await fetch(location.href, { cache: "no-cache", credentials: "same-origin", signal: AbortSignal.timeout(20000) });
    if (!answer.ok) throw new Error(String(answer.status));
    update(new DOMParser().parseFromString(await answer.text(), "text/html"));
    if (isOff) status.textContent = "The numbers are up to date again.";
    isOff = false;
  } catch {
    if (!isOff) status.textContent = "The dashboard does not answer; the numbers are old.";
    isOff = true;
  }
  status.classList.toggle("hidden", !isOff);
};

if (document.querySelector("[data-live]")) {
  const again = async () => { await refresh(); setTimeout(again, EVERY); };
  setTimeout(again, EVERY);
}

// --- times

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });

const inWords = (seconds) => {
  const whole = Math.max(Math.round(seconds), 0);
  if (whole < 60) return `${whole} s ago`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s ago`;
  return `${Math.floor(whole / 3600)} h ${Math.ceil((whole % 3600) / 60)} min ago`;
};

const localTimes = (root) => {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    time.title = `${local.format(moment)} (${zone})`;
    if ("ago" in time.dataset) time.textContent = inWords((Date.now() - moment) / 1000);
    else if (zone !== "UTC" && time.closest("header, dd, .since") && !time.nextElementSibling?.classList.contains("local")) {
      const beside = document.createElement("span");
      beside.className = "local";
      beside.textContent = ` (${clock.format(moment)} ${zone})`;
      time.after(beside);
    }
  }
};
localTimes(document);
setInterval(() => { if (!document.hidden && !isPaused) for (const time of document.querySelectorAll("time[data-ago]")) localTimes(time.parentElement); }, 1000);
const note = document.getElementById("zone");
if (note && zone !== "UTC") note.textContent = `Times are UTC. Point at one to see it in your zone, ${zone}.`;

// --- cards of quoted posts, on hover and focus

let card = null;
let wanted = null;
const close = () => { wanted?.removeAttribute("aria-describedby"); wanted = null; card?.remove(); card = null; };

const place = (link) => {
  const box = link.getBoundingClientRect();
  card.style.left = `${Math.max(Math.min(box.left + window.scrollX, document.documentElement.clientWidth - card.offsetWidth - 8), 4)}px`;
  card.style.top = `${box.bottom + window.scrollY + 4}px`;
};

const open = async (link) => {
  close();
  wanted = link;
  const target = new URL(link.href, location.href);
  let content = null;
  const here = target.pathname === location.pathname && document.getElementById(target.hash.slice(1));
  if (here) {
    content = here.cloneNode(true);
  } else {
    const found = target.pathname.match(/^\/board\/(\w+)\/(?:post\/(\d+)|thread\/(\d+))$/);
    if (!found) return;
    const number = target.hash.slice(2) || found[2] || found[3];
    try {
      const answer = await fetch(`/board/${found[1]}/post/${number}/card`, { credentials: "same-origin" });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      content = answer.ok ? page.querySelector("article") : null;
      if (!content) {
        content = document.createElement("p");
        content.textContent = answer.status === 404 ? "This post is not stored." : "The post could not be read.";
      }
    } catch { return; }
  }
  if (wanted !== link) return;
  for (const element of [content, ...content.querySelectorAll("[id], [aria-labelledby]")]) { element.removeAttribute("id"); element.removeAttribute("aria-labelledby"); }
  for (const element of content.querySelectorAll("a, summary, [tabindex]")) element.tabIndex = -1;
  card = document.createElement("div");
  card.className = "card";
  card.setAttribute("role", "tooltip");
  card.id = "card";
  card.append(content);
  link.setAttribute("aria-describedby", "card");
  document.body.append(card);
  localTimes(card);
  place(link);
};

const quoteOf = (event) => event.target instanceof Element ? event.target.closest("a.quote") : null;
document.addEventListener("mouseover", (event) => { const link = quoteOf(event); if (link && link !== wanted && !link.closest(".card")) open(link); });
document.addEventListener("focusin", (event) => { const link = quoteOf(event); if (link) open(link); else close(); });
document.addEventListener("mouseout", (event) => {
  const from = event.target instanceof Element && event.target.closest("a.quote, .card");
  const to = event.relatedTarget instanceof Element && event.relatedTarget.closest("a.quote, .card");
  if (from && !to) close();
});
document.addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });

// --- the post in focus, copies

const focused = document.querySelector("[data-focus]") ?? (location.hash && document.getElementById(location.hash.slice(1)));
if (focused) { focused.scrollIntoView({ block: "center" }); focused.focus({ preventScroll: true }); }

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const field = document.getElementById(button.dataset.copy);
    try { await navigator.clipboard.writeText(field.value); } catch { field.select(); document.execCommand("copy"); }
    button.textContent = "Copied";
  });
}

// --- charts

const NAMES = { posts: "Posts", deleted: "Deleted", coverage: "Coverage, %", delay: "Stored after, s" };
const COLORS = ["--chart", "--warn"];

const timeWords = (seconds, hours) => {
  const words = new Date(seconds * 1000).toISOString();
  return hours.at(-1) - hours[0] > 2 * 86400 ? words.slice(5, 10) : words.slice(11, 16);
};

const numbers = {}; // by address: two charts of a page can have the same
const read = async (url) => {
  const answer = await fetch(url, { credentials: "same-origin" });
  return answer.ok ? answer.json() : null;
};

const draw = async (figure) => {
  const data = await (numbers[figure.dataset.chart] ??= read(figure.dataset.chart));
  if (!data || !window.uPlot) return;
  const names = figure.dataset.series.split(",");
  const css = getComputedStyle(document.documentElement);
  const color = (name) => css.getPropertyValue(name).trim();
  const axis = (scale, side) => ({ scale, side, stroke: color("--front"), grid: { stroke: color("--line"), width: 1, show: side === 3 }, ticks: { stroke: color("--line") }, size: 60 });
  const isSplit = names.includes("coverage");
  const series = names.map((name, place) => ({
    label: NAMES[name], scale: isSplit ? name : "y", stroke: color(COLORS[place]), width: 2, dash: place ? [6, 4] : undefined, spanGaps: false, points: { show: false },
  }));
  const element = document.createElement("div");
  element.setAttribute("role", "img");
  element.setAttribute("aria-label", `${figure.dataset.label}; the table below has the values`);
  figure.prepend(element);
  new uPlot({
    width: Math.max(figure.clientWidth - 8, 280), height: 220, tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
    legend: { live: false },
    scales: isSplit ? { coverage: { range: (plot, low) => [Math.min(low ?? 90, 90), 100.5] } } : {},
    series: [{ label: "Hour (UTC)" }, ...series],
    axes: [{ stroke: color("--front"), grid: { show: false }, ticks: { stroke: color("--line") }, values: (plot, times) => times.map((seconds) => timeWords(seconds, data.hour)) }, ...(isSplit ? [axis("coverage", 3), axis("delay", 1)] : [axis("y", 3)])],
  }, [data.hour, ...names.map((name) => data[name])], element);
};
for (const figure of document.querySelectorAll("[data-chart]")) draw(figure).catch(() => {});
