/** The custody map: sites with their people and what each keeps, arrows for the latest movements, a red outline and a word where M could meet. */
import { useId } from 'react';
import type { ThingKind } from '../../ceremonies/evidence.ts';
import { MAP, reachesM, type Arrow, type CustodyMap, type Keeper, type SiteBox } from '../custody.ts';
import { t } from '../texts.ts';

/** One shape for every kind of thing, in a field of 22 by 16. */
const SHAPES: Readonly<Record<ThingKind, string>> = {
  card: 'M1 2.5h20v11H1zM4.5 6h4v3.5h-4z',
  token: 'M2 2h18v12H2zM6 14v2M11 14v2M16 14v2',
  bag: 'M7 1h8l-2 4c4 1.5 6 4.5 6 7.5 0 1.5-1 2.5-2.5 2.5h-11C4 15 3 14 3 12.500c0-3 2-6 6-7.500z',
  sheet: 'M5 1h9l4 4v10H5zM14 1v4h4',
  envelope: 'M1 2h20v12H1zM1 2l10 7 10-7',
  backup: 'M3 4c0-4 16-4 16 0v8c0 4-16 4-16 0zM3 4c0 4 16 4 16 0',
};

export function CustodyMapPicture({ map }: { readonly map: CustodyMap }) {
  const id = useId();
  return (
    <div className="custody-map" tabIndex={0} role="region" aria-label={t.custody.map}>
      <svg width={map.width} height={map.height} viewBox={`0 0 ${map.width} ${map.height}`} role="img" aria-labelledby={`${id}-title ${id}-says`}>
        <title id={`${id}-title`}>{t.custody.map}</title>
        <desc id={`${id}-says`}>{inWords(map)}</desc>
        <defs>
          <marker id={`${id}-head`} viewBox="0 0 10 10" refX="9" refY="5" markerWidth="9" markerHeight="9" orient="auto-start-reverse" markerUnits="userSpaceOnUse">
            <path d="M0 0l10 5-10 5z" className="arrow-head" />
          </marker>
        </defs>
        {map.arrows.map((arrow) => (
          <polyline key={`${arrow.from} ${arrow.to}`} className="arrow" points={arrow.points.map((point) => point.join(',')).join(' ')} markerEnd={`url(#${id}-head)`} />
        ))}
        {map.arrows.map((arrow) => (
          <text key={`${arrow.from} ${arrow.to}`} className="arrow-says" x={arrow.label[0]} y={arrow.label[1]} textAnchor="middle">
            {t.custody.moved(arrow.things)}
          </text>
        ))}
        {map.boxes.map((box) => (
          <Box key={box.site ?? ''} box={box} />
        ))}
      </svg>
    </div>
  );
}

function Box({ box }: { readonly box: SiteBox }) {
  const { x, y, width, height, site, title, region, findings, keepers } = box;
  const meets = findings.some(reachesM);
  let down = MAP.head + findings.length * MAP.finding;
  return (
    <g transform={`translate(${x} ${y})`} className={`site${meets ? ' meets' : ''}${site === null ? ' nowhere' : ''}`}>
      <rect className="site-box" width={width} height={height} rx="9" />
      <text className="site-name" x="16" y="29">
        {site === null ? t.custody.nowhere : clip(title, 27)}
      </text>
      <text className="site-region" x="16" y="50">
        {site === null ? t.custody.nowhereHint : region === null ? t.custody.noRegion : t.custody.region(region)}
      </text>
      {findings.map((finding, i) => (
        <text key={i} className={reachesM(finding) ? 'site-meets' : 'site-warns'} x="16" y={MAP.head + 12 + i * MAP.finding}>
          {reachesM(finding) ? '✕' : '!'} {t.custody.at[finding.rule](finding.things.length)}
        </text>
      ))}
      {keepers.map((keeper) => {
        const at = down;
        down += MAP.person + (keeper.things.length + (keeper.more > 0 ? 1 : 0)) * MAP.thing;
        return <KeeperRows key={keeper.person ?? ''} keeper={keeper} at={at} width={width} />;
      })}
    </g>
  );
}

function KeeperRows({ keeper: { person, things, more, meets }, at, width }: { readonly keeper: Keeper; readonly at: number; readonly width: number }) {
  const height = MAP.person + (things.length + (more > 0 ? 1 : 0)) * MAP.thing - 4;
  return (
    <g transform={`translate(0 ${at})`}>
      {meets ? <rect className="keeper-meets" x="8" y="2" width={width - 16} height={height} rx="6" /> : <path className="keeper-line" d={`M16 2H${width - 16}`} />}
      <text className="keeper" x="16" y="24">
        {clip(person ?? t.custody.nobody, meets ? 16 : 32)}
      </text>
      {meets ? (
        <text className="site-meets" x={width - 16} y="24" textAnchor="end">
          ✕ {t.custody.personMeets}
        </text>
      ) : null}
      {things.map((thing, i) => (
        <g key={thing.key} transform={`translate(${thing.packed ? 40 : 18} ${MAP.person + i * MAP.thing})`} className={`thing${thing.unaccounted === null ? '' : ' lost'}${thing.shares.length > 0 ? ' holds' : ''}`}>
          <path className="thing-shape" d={SHAPES[thing.kind]} transform="translate(0 3)" />
          <text className="thing-name" x="31" y="16">
            {clip(thing.identifier, thing.unaccounted !== null ? 12 : thing.packed ? 14 : 16)}
            <tspan className="thing-says" dx="8">
              {thing.unaccounted !== null ? `✕ ${t.custody.lost}` : thing.shares.length > 0 ? t.custody.shareBrief(thing.shares.map(({ x }) => x)) : thing.what !== thing.kind ? t.custody.brief(thing.what) : ''}
            </tspan>
          </text>
        </g>
      ))}
      {more > 0 ? (
        <text className="thing-says" x="18" y={MAP.person + things.length * MAP.thing + 16}>
          {t.custody.more(more)}
        </text>
      ) : null}
    </g>
  );
}

const clip = (text: string, most: number): string => (text.length <= most ? text : `${text.slice(0, most - 1)}…`);

/** The whole picture for those who hear the screen. */
function inWords({ boxes, arrows }: CustodyMap): string {
  const site = ({ site: name, title, region, findings, keepers }: SiteBox): string =>
    [
      name === null ? t.custody.nowhere : `${title}${region === null ? '' : `, ${t.custody.region(region)}`}`,
      ...findings.map((finding) => t.custody.at[finding.rule](finding.things.length)),
      ...keepers.map(
        ({ person, things, more, meets }) =>
          `${person ?? t.custody.nobody}${meets ? ` (${t.custody.personMeets})` : ''}: ${[...things.map((thing) => `${thing.kind} ${thing.identifier}${thing.shares.length > 0 ? ` (${t.custody.shareBrief(thing.shares.map(({ x }) => x))})` : ''}${thing.unaccounted === null ? '' : ` (${t.custody.lost})`}`), ...(more > 0 ? [t.custody.more(more)] : [])].join(', ')}`,
      ),
    ].join('. ');
  const arrow = ({ from, to, things }: Arrow): string => t.custody.arrow(things, from, to);
  return [...boxes.map(site), ...arrows.map(arrow)].join('. ');
}
