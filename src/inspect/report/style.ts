import { SCALE_GRADIENTS } from './picture.js';

/** The report's style sheet: one set of roles, with values for light and for dark. */
export const STYLE: string = `
:root{color-scheme:light dark;
--page:#f7f6f3;--card:#fff;--ink:#1d1c1a;--soft:#5f5d58;--faint:#8b8983;--line:#e5e3de;--grid:#efede9;
--train:#2768d8;--validation:#d9601a;--right:#2768d8;--wrong:#d9541a;--cell:#fff;
--shadow:0 1px 2px rgb(0 0 0/.05)}
@media(prefers-color-scheme:dark){:root{
--page:#151514;--card:#1f1f1d;--ink:#eceae5;--soft:#b1aea7;--faint:#85827b;--line:#3a3936;--grid:#31302d;
--train:#6ea3ff;--validation:#f4904e;--right:#3f7ff0;--wrong:#e8662a;--cell:#242422;--shadow:none}}
*{box-sizing:border-box}
html{scroll-behavior:smooth}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;
-webkit-text-size-adjust:100%}
main,header,footer{max-width:1120px;margin:0 auto;padding:0 24px}
header{padding-top:36px}
h1{font-size:30px;line-height:1.2;margin:0;font-weight:650;letter-spacing:-.015em;overflow-wrap:anywhere}
h2{font-size:19px;margin:0 0 4px;font-weight:650;letter-spacing:-.005em}
h3{font-size:14px;margin:20px 0 6px;font-weight:600;overflow-wrap:anywhere}
h3 small,h2 small{font-weight:400;color:var(--soft);margin-left:8px}
p{margin:0 0 12px;max-width:76ch}
.sub,.note{color:var(--soft)}
.note{font-size:13.5px}
nav{display:flex;flex-wrap:wrap;gap:4px 18px;margin:14px 0 22px;font-size:14px}
a{color:var(--train);text-decoration:none}
a:hover{text-decoration:underline}
section{background:var(--card);border:1px solid var(--line);border-radius:12px;box-shadow:var(--shadow);padding:22px 24px;margin:0 0 20px;
scroll-margin-top:12px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:0 0 20px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:12px;box-shadow:var(--shadow);padding:14px 16px}
.tile b{display:block;font-size:26px;line-height:1.25;font-weight:650;letter-spacing:-.02em;font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:13.5px}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(420px,100%),1fr));gap:12px 32px}
figure{margin:0}
.chart figcaption{display:flex;justify-content:space-between;flex-wrap:wrap;gap:2px 16px;font-size:14px;margin:4px 0}
.legend{display:flex;gap:14px;color:var(--soft)}
.legend i{display:inline-block;width:16px;height:3px;border-radius:2px;margin-right:6px;vertical-align:middle}
i.train{background:var(--train)}i.validation{background:var(--validation)}
svg{display:block;width:100%;height:auto;font-size:12px}
svg text{fill:var(--ink)}
svg .tick,svg .name{fill:var(--soft)}
svg .value{font-variant-numeric:tabular-nums;font-weight:600}
.grid{stroke:var(--grid)}.axis{stroke:var(--faint)}
.line{fill:none;stroke-width:2.25;stroke-linejoin:round;stroke-linecap:round}
.line.train{stroke:var(--train)}.line.validation{stroke:var(--validation)}
.dot{stroke:var(--card);stroke-width:1.5}
.dot.train{fill:var(--train)}.dot.validation{fill:var(--validation)}
.hit>rect{fill:transparent}
.tip{visibility:hidden;pointer-events:none}
.hit:hover .tip{visibility:visible}
.cross{stroke:var(--faint);stroke-dasharray:3 3}
.box{fill:var(--card);stroke:var(--line)}
.scroll{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;font-size:13.5px;font-variant-numeric:tabular-nums}
th{font-weight:600;text-align:left;color:var(--soft);font-size:12.5px;vertical-align:bottom}
td,th{padding:4px 10px 4px 0;white-space:nowrap}
.rows td,.rows th{border-bottom:1px solid var(--grid)}
.rows tr:last-child td{border-bottom:0}
.rows{width:100%}
.num{text-align:right}
td.name,th.name{max-width:220px;overflow:hidden;text-overflow:ellipsis}
.bar{display:inline-block;vertical-align:middle;width:72px;height:6px;border-radius:3px;background:var(--grid);margin-left:8px;overflow:hidden}
.bar i{display:block;height:100%;background:var(--right);border-radius:3px}
.matrix{border-collapse:separate;border-spacing:2px}
.matrix td,.matrix th{padding:0;text-align:center}
.matrix th{vertical-align:middle;max-width:110px;overflow:hidden;text-overflow:ellipsis;font-weight:500}
.matrix th.row{text-align:right;padding-right:8px}
.matrix th.col{max-width:38px}
.matrix .turned th.col{height:96px;max-width:34px}
.matrix .turned th.col span{display:inline-block;writing-mode:vertical-rl;transform:rotate(180deg);max-height:92px;overflow:hidden;text-overflow:ellipsis}
.matrix td{min-width:var(--w,34px);height:var(--t,30px);border-radius:4px;--h:var(--wrong);background:color-mix(in oklab,var(--h) calc(var(--v,0)*100%),var(--cell));
color:var(--soft);font-size:12.5px}
.matrix td.right{--h:var(--right)}
.matrix td.on{color:#fff}
.matrix.few{--w:52px;--t:44px}.matrix.few td{font-size:14px}.matrix.few th.col{max-width:52px}
.matrix td.zero{color:transparent;background:var(--grid)}
.matrix thead th{vertical-align:bottom;padding-bottom:3px}
.matrix .axisname{max-width:none;text-align:right;padding-right:8px;line-height:1.3;color:var(--faint);font-weight:400;font-size:12px}
.dense rect{stroke:none}
.dense .r{fill:var(--right)}.dense .w{fill:var(--wrong)}.dense .back{fill:var(--grid)}
.pictures{display:flex;flex-wrap:wrap;gap:8px}
.pictures img,.shot img{image-rendering:pixelated;display:block;border-radius:3px}
.filters img{width:var(--side,56px);height:auto;outline:1px solid var(--line)}
.maps img{width:72px;height:auto}
.shots{display:grid;grid-template-columns:repeat(auto-fill,minmax(128px,1fr));gap:18px 14px}
.shot{min-width:0;font-size:13px;line-height:1.35}
.shot img{width:100%;max-width:160px;margin-bottom:6px;outline:1px solid var(--line)}
.shot div{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.shot .l{display:flex;gap:4px}.shot .l i{font-style:normal}.shot .l b{overflow:hidden;text-overflow:ellipsis}.shot .l span{flex:none}
.shot .p{color:var(--wrong)}.shot .ok{color:var(--right)}
.shot b{font-weight:650}.shot span{color:var(--soft);margin-left:auto;font-variant-numeric:tabular-nums}.sample .shot span{margin-left:4px}
.shot .f{font-size:11.5px;color:var(--faint)}
.scale{display:inline-flex;align-items:center;gap:8px;font-size:12.5px;color:var(--soft);margin:2px 0 10px}
.scale i{width:120px;height:9px;border-radius:5px;display:inline-block}
.scale .diverging{background:${SCALE_GRADIENTS.diverging}}.scale .sequential{background:${SCALE_GRADIENTS.sequential}}
.sample{display:flex;gap:16px;align-items:center;margin:8px 0 4px}
.sample img{image-rendering:pixelated;width:96px;height:auto;border-radius:4px;outline:1px solid var(--line)}
.tree{color:var(--faint)}
.total td{font-weight:600;border-top:1px solid var(--line)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:3px 18px;margin:8px 0 0;font-size:13.5px}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
details{margin-top:12px;font-size:13.5px}
summary{cursor:pointer;color:var(--soft)}
footer{color:var(--faint);font-size:13px;padding-bottom:40px}
@media(max-width:600px){main,header,footer{padding-left:14px;padding-right:14px}section{padding:16px 14px}}
@media print{section,.tile{break-inside:avoid;box-shadow:none}nav{display:none}}
`;
