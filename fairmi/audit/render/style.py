"""How the page looks, at a desk and on a phone; colours are those of the palette."""

from __future__ import annotations

from fairmi.audit.render.palette import GREY, GRID, INK, PALE_INK, VERMILION, WHITE

STYLE = f"""
.fairmi-audit {{ color: {INK}; background: {WHITE}; font: 16px/1.5 system-ui, sans-serif;
  max-width: 960px; margin: 0 auto; padding: 24px; overflow-wrap: break-word; }}
.fairmi-audit h1 {{ font-size: 1.7em; margin: 0 0 .3em; }}
.fairmi-audit h2 {{ font-size: 1.3em; margin: 2em 0 .4em; border-top: 2px solid {INK};
  padding-top: .5em; }}
.fairmi-audit h3 {{ font-size: 1.05em; margin: 1.6em 0 .3em; }}
.fairmi-audit p {{ margin: .3em 0 .8em; max-width: 46em; }}
.fairmi-audit .wide {{ overflow-x: auto; margin: .6em 0; }}
.fairmi-audit .wide:focus-visible {{ outline: 2px solid {INK}; outline-offset: 2px; }}
.fairmi-audit .panels {{ display: flex; flex-wrap: wrap; gap: .4em 1.5em; max-width: 812px; }}
.fairmi-audit svg {{ max-width: 100%; height: auto; }}
.fairmi-audit table {{ border-collapse: collapse; font-size: .9em; background: none;
  color: inherit; font-variant-numeric: tabular-nums; }}
.fairmi-audit caption {{ text-align: left; font-weight: 600; padding: 0 0 .4em; color: inherit; }}
.fairmi-audit th, .fairmi-audit td {{ padding: .25em .9em .25em 0; text-align: right;
  vertical-align: top; background: none; }}
.fairmi-audit td {{ white-space: nowrap; }}
.fairmi-audit thead th {{ border-bottom: 1px solid {GREY}; font-weight: 600; }}
.fairmi-audit tbody th {{ font-weight: 400; min-width: 7em; }}
.fairmi-audit tbody th, .fairmi-audit td {{ border-bottom: 1px solid {GRID}; }}
.fairmi-audit .left {{ text-align: left; }}
.fairmi-audit small {{ color: {PALE_INK}; display: block; white-space: nowrap; }}
.fairmi-audit dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .15em 1.2em;
  margin: .5em 0; }}
.fairmi-audit dt {{ font-weight: 600; }}
.fairmi-audit dd {{ margin: 0; overflow-wrap: anywhere; min-width: 0; }}
.fairmi-audit li {{ margin: .3em 0; max-width: 46em; }}
.fairmi-audit .verdict {{ font-weight: 600; }}
.fairmi-audit .found {{ background: {GRID}; padding: 0 .3em; }}
.fairmi-audit .note {{ border-left: 4px solid {VERMILION}; padding-left: .8em; }}
@media (max-width: 600px) {{
  .fairmi-audit {{ padding: 12px; }}
  .fairmi-audit ul {{ padding-left: 1.2em; }}
  .fairmi-audit dl {{ grid-template-columns: minmax(0, 1fr); }}
}}
"""
