#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What bench/run found, for people: a table, or a page for itself with its figures.

    bench/report.py RESULT.json DIR     writes DIR/index.html and the figures as PNGs
"""

import base64
import html
import json
import math
import os
import sys

FIGURES = (
    ('curve', 'Latency over throughput',
     'Open loop: commands arrive at random at the offered rate, and latency counts from when one '
     'was due. Each line ends where less than 95 % of what was offered came back in time, or at '
     'one and a half times the saturated rate.'),
    ('percentiles', 'Percentiles',
     'One command outstanding; half the saturated rate, open loop; and saturation, closed loop.'),
    ('cpu', 'Processor time by stage',
     'Of the three replicas together, at saturation, per command: samples of perf by stack, scaled '
     'to the processor time of the processes. A replica that finds nothing to do yields the core; '
     'that time is the hatched part.'),
    ('comparison', 'Beside the limits of the machine, and beside peers',
     'fio and the packet are measured in turn with the replicas, peers after them, each with three '
     'members, durable, on the same file system.'),
)
COLOURS = ('#0b4f6c', '#1b998b', '#e0a100', '#d1495b', '#7d5ba6', '#5c6b73')
INK = '#22303c'
GREY = '#8895a0'
STAGES = ('ingress', 'order', 'journal', 'journal, kernel', 'apply', 'egress',
          'memif, either way', 'loop', 'other threads', 'waiting (yield, sleep)')
STAGE_COLOURS = ('#0b4f6c', '#2a7f9e', '#1b998b', '#8fd3c4', '#e0a100', '#d1495b', '#7d5ba6',
                 '#a8b5bf', '#ccd5db', '#f0f3f5')
PEER_COLOURS = {'etcd': '#e0a100', 'zookeeper': '#d1495b', 'libraft': '#7d5ba6'}


class NoMatplotlib(Exception):
    pass


def short(value):
    """1234567 -> 1.23 M"""
    if value is None:
        return '–'
    for unit, name in ((1e9, ' G'), (1e6, ' M'), (1e3, ' k')):
        if abs(value) >= unit:
            return f'{value / unit:.3g}{name}'
    return f'{value:.3g}'


def fixed(value, digits=2, after=''):
    return '–' if value is None else f'{value:,.{digits}f}{after}'


ROWS = (
    ('commands a second, saturated', lambda row: fixed(row['ops_per_s'], 0)),
    ('share of fio\'s bytes', lambda row: fixed(row['disk_share'])),
    ('fio, MB/s', lambda row: fixed((row['fio_bytes_per_s'] or 0) / 1e6, 0)),
    ('p50, one outstanding, us', lambda row: fixed(row['p50_one_us'], 0)),
    ('fio p50, depth 1, us', lambda row: fixed(row['fio_p50_one_us'], 0)),
    ('packet there and back, us', lambda row: fixed(row['packet_rtt_us'], 1)),
    ('latency over disk + 2 packets', lambda row: fixed(row['latency_ratio'])),
    ('p99 at half the rate, us', lambda row: fixed(row['p99_half_us'], 0)),
    ('fio p99 for those writes, us', lambda row: fixed(row['fio_p99_half_us'], 0)),
    ('host stopped the cores then, up to us', lambda row: fixed(row['stall_max_us'], 0)),
    ('p99 at half over p50 of one', lambda row: fixed(row['p99_ratio'])),
    ('processor us a command, 3 replicas', lambda row: fixed(row['cpu_us_per_command'])),
    ('commands a batch', lambda row: fixed(row['batch_commands'], 1)),
    ('bytes a write', lambda row: fixed(row['write_bytes'], 0)),
    ('writes under way', lambda row: fixed(row['write_depth'], 1)),
    ('goodput at 10 x, of the peak', lambda row: fixed(row['overload']['goodput_ratio'])),
)


def facts(result):
    packets = ', '.join(f'{short(rate)} packets/s of {size} bytes'
                        for size, rate in result['testpmd_packets_per_s'].items())
    return (('machine', result['machine']), ('commit', result['commit']),
            ('durability', result['durability']), ('authentication', result['authentication']),
            ('poll', result['poll']), ('cores', result['cores']),
            ('memif alone', packets or 'not measured'),
            ('measured', f'{result["began"]}, {result["took_s"]} s; {result["rounds"]} rounds of '
                         f'{result["seconds"]} s, {result["replicas"]} replicas'))


def peer_rows(result):
    names = sorted({name for row in result['sizes'].values() for name in row['peers']})
    for name in names:
        yield (f'{name}, commands a second',
               lambda row, name=name: fixed(row['peers'].get(name, {}).get('ops_per_s'), 0))
        yield (f'{name}, p50 of one, us',
               lambda row, name=name: fixed(row['peers'].get(name, {}).get('p50_one_us'), 0))
        yield (f'Synod over {name}',
               lambda row, name=name: fixed(row['peers'].get(name, {}).get('ratio'), 1, ' x'))


def print_table(result, to=sys.stdout):
    for name, text in facts(result):
        print(f'{name:16}{text}', file=to)
    print(f'\n{"payload, bytes":36}'
          + ''.join(f'{size:>12}' for size in result['sizes']), file=to)
    for title, value in (*ROWS, *peer_rows(result)):
        print(f'{title:36}' + ''.join(f'{value(row):>12}' for row in result['sizes'].values()),
              file=to)
    print(f'\nstatus: {result["status"]}', file=to)
    for reason in result['reasons']:
        print(f'  {reason}', file=to)


# ---- figures -------------------------------------------------------------------------------------

def plotting():
    try:
        import matplotlib
    except ImportError:
        raise NoMatplotlib from None
    matplotlib.use('Agg')
    from matplotlib import pyplot
    pyplot.rcParams.update({
        'font.family': 'DejaVu Sans', 'font.size': 10.5, 'text.color': INK,
        'axes.edgecolor': '#c3ccd3', 'axes.labelcolor': INK, 'axes.titlesize': 11.5,
        'axes.titleweight': 'bold', 'axes.titlelocation': 'left', 'axes.titlepad': 10,
        'axes.spines.top': False, 'axes.spines.right': False, 'axes.axisbelow': True,
        'axes.grid': True, 'grid.color': '#e6eaee', 'grid.linewidth': 0.8,
        'xtick.color': '#55636e', 'ytick.color': '#55636e', 'figure.facecolor': 'white',
        'legend.frameon': False, 'savefig.dpi': 130, 'lines.linewidth': 2,
        'lines.markersize': 5, 'hatch.color': '#b4bec6', 'hatch.linewidth': 0.6})
    return pyplot


def label_of(size):
    return f'{int(size):,} B'


def plain(axis):
    """Ticks as 20, 500, 1 k, 2 M: not as powers."""
    from matplotlib.ticker import FuncFormatter, NullFormatter
    axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axis.set_minor_formatter(NullFormatter())


def denser(axis):
    """A log axis of little more than a decade wants ticks between the powers."""
    from matplotlib.ticker import LogLocator
    low, high = axis.get_view_interval()
    if high / low < 60:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))


def add_status(figure, result):
    text = f'{result["machine"]} · {result["durability"]} · {result["commit"][:12]}'
    if result['status'] != 'valid':
        text = 'INVALID RUN · ' + text
    figure.text(0.99, 0.008, text, ha='right', va='bottom', fontsize=7.5,
                color='#b3261e' if result['status'] != 'valid' else GREY)


def draw_curve(pyplot, result):
    figure, axes = pyplot.subplots(1, 2, figsize=(11.5, 5), sharex=True, sharey=True)
    for axis, percentile, title in zip(axes, ('p50', 'p99'), ('median', '99th percentile')):
        for number, (size, row) in enumerate(result['sizes'].items()):
            points = [point for point in row['curve'] if point['latency_us'].get(percentile)]
            axis.plot([point['goodput_per_s'] for point in points],
                      [point['latency_us'][percentile] for point in points], marker='o',
                      markeredgecolor='white', markeredgewidth=0.8,
                      color=COLOURS[number % len(COLOURS)], label=label_of(size))
        axis.set_xscale('log')
        axis.set_yscale('log')
        axis.set_title(f'latency, {title}')
        axis.set_xlabel('acknowledged, commands a second')
        axis.grid(True, which='minor', color='#f2f4f6', linewidth=0.6)
    axes[0].set_ylabel('microseconds')
    axes[0].margins(0.08)
    for axis in (axes[0].xaxis, axes[0].yaxis, axes[1].xaxis):
        denser(axis)
        plain(axis)
    axes[0].legend(title='payload', alignment='left', loc='upper left')
    return figure


def draw_percentiles(pyplot, result):
    names = (('p50', 50), ('p90', 90), ('p99', 99), ('p999', 99.9), ('p9999', 99.99))
    panels = (('one', 'one outstanding'), ('half', 'half the saturated rate'),
              ('saturated', 'saturated'))
    figure, axes = pyplot.subplots(1, 3, figsize=(11.5, 4.6), sharey=True)
    for axis, (which, title) in zip(axes, panels):
        for number, (size, row) in enumerate(result['sizes'].items()):
            latency = row['latency_us'][which]
            if latency:
                axis.plot(range(len(names)), [latency[name] for name, _ in names], marker='o',
                          markeredgecolor='white', markeredgewidth=0.8,
                          color=COLOURS[number % len(COLOURS)], label=label_of(size))
        axis.set_yscale('log')
        axis.set_title(title)
        axis.set_xticks(range(len(names)), [f'{percent:g} %' for _, percent in names])
        axis.grid(True, which='minor', axis='y', color='#f2f4f6', linewidth=0.6)
    axes[0].set_ylabel('latency, microseconds')
    denser(axes[0].yaxis)
    plain(axes[0].yaxis)
    axes[0].legend(title='payload', alignment='left', loc='upper left')
    return figure


def draw_cpu(pyplot, result):
    sizes = list(result['sizes'])
    figure, axis = pyplot.subplots(figsize=(11.5, 1.9 + 0.62 * len(sizes)))
    left = [0.0] * len(sizes)
    for stage, colour in zip(STAGES, STAGE_COLOURS):
        values = [result['sizes'][size]['cpu_us_by_stage'].get(stage, 0.0) for size in sizes]
        if not any(values):
            continue
        waits = stage.startswith('waiting')
        bars = axis.barh([label_of(size) for size in sizes], values, left=left, color=colour,
                         edgecolor='white', linewidth=1, height=0.62, label=stage,
                         hatch='////' if waits else None)
        for bar, value, size in zip(bars, values, sizes):
            total = sum(result['sizes'][size]['cpu_us_by_stage'].values())
            if total and value / max(sum(result['sizes'][other]['cpu_us_by_stage'].values())
                                     for other in sizes) > 0.055:
                dark = colour in ('#0b4f6c', '#2a7f9e', '#1b998b', '#d1495b', '#7d5ba6')
                axis.text(bar.get_x() + bar.get_width() / 2, bar.get_y() + bar.get_height() / 2,
                          f'{value:.2f}', ha='center', va='center', fontsize=8.5,
                          color='white' if dark else INK)
        left = [before + value for before, value in zip(left, values)]
    for row, total in enumerate(left):
        if total:
            axis.text(total, row, f'  {total:.2f}', va='center', fontweight='bold', fontsize=9.5)
    if not any(left):
        axis.text(0.5, 0.5, 'not measured in this run', transform=axis.transAxes, ha='center',
                  color=GREY)
    axis.invert_yaxis()
    axis.grid(False, axis='y')
    axis.margins(x=0.08)
    axis.set_xlabel('microseconds of processor a command, three replicas together')
    axis.set_title('where the processors go', pad=34)
    if any(left):
        axis.legend(loc='lower left', bbox_to_anchor=(-0.005, 1.0), ncol=10, fontsize=8.5,
                    handlelength=1, columnspacing=1, handletextpad=0.5)
    return figure


def draw_shares(axis, result, sizes):
    values = [result['sizes'][size]['disk_share'] or 0 for size in sizes]
    bars = axis.bar([label_of(size) for size in sizes], values, color=COLOURS[1], width=0.62)
    axis.bar_label(bars, [f'{value:.2f}' for value in values], padding=2, fontsize=9)
    axis.axhline(1, color=GREY, linewidth=1)
    axis.text(len(sizes) - 0.55, 1.01, 'fio', ha='right', va='bottom', fontsize=9, color=GREY)
    axis.set_ylim(0, max(1.15, 1.15 * max(values)))
    axis.set_title('bytes written over fio\'s')
    axis.grid(False, axis='x')


def draw_latency(axis, result, sizes):
    rows = [result['sizes'][size] for size in sizes]
    places = range(len(sizes))
    disk = [row['fio_p50_one_us'] or 0 for row in rows]
    packets = [2 * (row['packet_rtt_us'] or 0) for row in rows]
    whole = [row['p50_one_us'] or 0 for row in rows]
    axis.bar([place - 0.2 for place in places], disk, 0.38, color='#9fb3c1', label='fio, depth 1')
    axis.bar([place - 0.2 for place in places], packets, 0.38, bottom=disk, color='#4a6274',
             label='two packet round trips')
    bars = axis.bar([place + 0.2 for place in places], whole, 0.38, color=COLOURS[0],
                    label='Synod, three replicas')
    axis.bar_label(bars, [f'{row["latency_ratio"]:.1f} x' if row['latency_ratio'] else ''
                          for row in rows], padding=2, fontsize=9)
    axis.set_xticks(list(places), [label_of(size) for size in sizes])
    axis.set_ylim(0, 1.45 * max(whole + disk + [1]))
    axis.set_ylabel('microseconds')
    plain(axis.yaxis)
    axis.set_title('one outstanding, p50')
    axis.legend(fontsize=8.5, loc='upper left', handlelength=1)
    axis.grid(False, axis='x')


def draw_peers(axis, result, sizes):
    names = sorted({name for size in sizes for name in result['sizes'][size]['peers']})
    shown = [('Synod', COLOURS[0])] + [(name, PEER_COLOURS.get(name, GREY)) for name in names]
    width = 0.84 / len(shown)
    for number, (name, colour) in enumerate(shown):
        rows = [result['sizes'][size] for size in sizes]
        values = [row['ops_per_s'] if name == 'Synod'
                  else row['peers'].get(name, {}).get('ops_per_s') for row in rows]
        places = [place - 0.42 + width * (number + 0.5) for place in range(len(sizes))]
        bars = axis.bar(places, [value or 0 for value in values], width * 0.92, color=colour,
                        label=name)
        axis.bar_label(bars, [short(value) if value else '' for value in values], padding=2,
                       fontsize=8)
    axis.set_yscale('log')
    shown = [bar.get_height() for bar in axis.patches if bar.get_height() > 0]
    axis.set_ylim(10 ** math.floor(math.log10(min(shown) / 1.5)), max(shown) * 6)
    axis.set_xticks(range(len(sizes)), [label_of(size) for size in sizes])
    axis.set_title('durable commands a second, three members each (log scale)')
    axis.grid(False, axis='x')
    plain(axis.yaxis)
    axis.legend(ncol=4, loc='upper right', handlelength=1, fontsize=9)


def draw_comparison(pyplot, result):
    sizes = list(result['sizes'])
    figure = pyplot.figure(figsize=(11.5, 8.6))
    grid = figure.add_gridspec(2, 2, height_ratios=(1.1, 1))
    draw_peers(figure.add_subplot(grid[0, :]), result, sizes)
    draw_shares(figure.add_subplot(grid[1, 0]), result, sizes)
    draw_latency(figure.add_subplot(grid[1, 1]), result, sizes)
    return figure


def draw(result, directory):
    pyplot = plotting()
    drawers = {'curve': draw_curve, 'percentiles': draw_percentiles, 'cpu': draw_cpu,
               'comparison': draw_comparison}
    for name, _, _ in FIGURES:
        figure = drawers[name](pyplot, result)
        figure.tight_layout(rect=(0, 0.03, 1, 1), h_pad=2, w_pad=2)
        add_status(figure, result)
        figure.savefig(os.path.join(directory, f'{name}.png'))
        pyplot.close(figure)


# ---- the page ------------------------------------------------------------------------------------

STYLE = '''
body { font: 16px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #22303c; background: #f4f6f8;
  margin: 0; }
main { max-width: 1180px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 30px; margin: 0 0 4px; } h2 { font-size: 20px; margin: 0 0 4px; }
p { margin: 4px 0 12px; color: #55636e; max-width: 84ch; }
section { background: white; border-radius: 10px; padding: 22px 24px; margin: 20px 0;
  box-shadow: 0 1px 3px rgba(20, 40, 60, .12); overflow-x: auto; }
img { width: 100%; height: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 6px 12px; border-bottom: 1px solid #e6eaee;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; color: #55636e; font-weight: normal; }
thead th { color: #22303c; font-weight: bold; border-bottom: 2px solid #c3ccd3; }
.facts td { text-align: left; white-space: normal; } .facts td:first-child { width: 9em; }
.valid, .invalid { border-radius: 8px; padding: 12px 18px; margin: 18px 0; font-weight: bold; }
.valid { background: #e0f2ec; color: #11604f; } .invalid { background: #fbe4e2; color: #8c1d18; }
.invalid ul { font-weight: normal; margin: 6px 0 0; padding-left: 20px; }
'''


def page(result, directory):
    def escape(value):
        return html.escape(str(value))

    parts = [f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Synod, measured</title>'
             f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style><main>'
             '<h1>Synod, measured</h1><p>Durable commands through three replicas, beside what the '
             'machine can do. What each figure means, and what it does not, is in '
             'bench/README.md.</p>']
    if result['status'] == 'valid':
        parts.append('<div class="valid">This run is valid.</div>')
    else:
        reasons = ''.join(f'<li>{escape(reason)}</li>' for reason in result['reasons'])
        parts.append(f'<div class="invalid">This run is invalid: its figures are not to be quoted.'
                     f'<ul>{reasons}</ul></div>')
    rows = ''.join(f'<tr><td>{escape(name)}</td><td>{escape(text)}</td></tr>'
                   for name, text in facts(result))
    parts.append(f'<section class="facts"><table>{rows}</table></section>')
    heads = ''.join(f'<th>{label_of(size)}</th>' for size in result['sizes'])
    body = ''.join(
        f'<tr><td>{escape(title)}</td>'
        + ''.join(f'<td>{escape(value(row))}</td>' for row in result['sizes'].values()) + '</tr>'
        for title, value in (*ROWS, *peer_rows(result)))
    parts.append(f'<section><h2>Figures</h2><table><thead><tr><th>payload</th>{heads}</tr></thead>'
                 f'<tbody>{body}</tbody></table></section>')
    for name, title, text in FIGURES:
        with open(os.path.join(directory, f'{name}.png'), 'rb') as file:
            image = base64.b64encode(file.read()).decode()
        parts.append(f'<section><h2>{title}</h2><p>{text}</p>'
                     f'<img alt="{title}" src="data:image/png;base64,{image}"></section>')
    return ''.join(parts) + '</main></html>\n'


def write(result, directory):
    os.makedirs(directory, exist_ok=True)
    draw(result, directory)
    with open(os.path.join(directory, 'index.html'), 'w', encoding='utf-8') as file:
        file.write(page(result, directory))


def main(argv):
    if len(argv) != 2:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    try:
        with open(argv[0], encoding='utf-8') as file:
            write(json.load(file), argv[1])
    except (OSError, ValueError, KeyError) as error:
        print(f'bench/report.py: {argv[0]}: {type(error).__name__} {error}', file=sys.stderr)
        return 2
    except NoMatplotlib:
        print('bench/report.py: python3-matplotlib is missing: tools/deps bench', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
