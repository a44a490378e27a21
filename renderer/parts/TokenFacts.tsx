/** What a token tells of itself: facts, PINs, limits, interfaces, certifications. All of it is the token's word. */
import type { ReactNode } from 'react';
import type { Flag, PinState, TokenDetails } from '../../ceremonies/estate.ts';
import { PIN_MARK } from '../estate.ts';
import { dateTime, groups } from '../reading.ts';
import { FLAG_MARKS, t } from '../texts.ts';
import { Mark } from './Mark.tsx';

export function TokenFactsPage({ details }: { readonly details: TokenDetails }) {
  const { token, slot, pin, library, limits } = details;
  return (
    <>
      <dl className="facts facts-small">
        <Row name={t.tokens.serial}>
          <code className="hex">{groups(token.serial)}</code>
        </Row>
        <Row name={t.tokens.maker}>{token.manufacturer}</Row>
        <Row name={t.tokens.model}>{token.model}</Row>
        <Row name={t.tokens.firmware}>{token.firmware}</Row>
        <Row name={t.tokens.hardware}>{token.hardware}</Row>
        <Row name={t.tokens.clock}>{details.clock === null ? t.tokens.clockNone : dateTime(details.clock)}</Row>
      </dl>
      <section>
        <h3>{t.tokens.flags}</h3>
        <Flags flags={details.flags} />
      </section>
      <section>
        <h3>{t.tokens.pins}</h3>
        <dl className="facts facts-small">
          <Row name={t.tokens.pin.user}>
            <Pin state={pin.user} />
          </Row>
          <Row name={t.tokens.pin.so}>
            <Pin state={pin.so} />
          </Row>
          <Row name={t.tokens.pin.length}>{t.tokens.pinLength(pin.min, pin.max)}</Row>
          <Row name={t.tokens.pin.pad}>{pin.pad ? t.tokens.pinPad.pad : t.tokens.pinPad.booth}</Row>
        </dl>
      </section>
      <section>
        <h3>{t.tokens.limits}</h3>
        <dl className="facts facts-small">
          {(['sessions', 'writeSessions'] as const).map((name) => (
            <Row key={name} name={t.tokens.limit[name]}>
              {t.tokens.amount(limits[name].now?.toLocaleString('en') ?? null, most(limits[name].most))}
            </Row>
          ))}
          {(['publicMemory', 'privateMemory'] as const).map((name) => (
            <Row key={name} name={t.tokens.limit[name]}>
              {limits[name].now === null && limits[name].most === null
                ? t.tokens.notReported
                : t.tokens.amountBytes(bytes(limits[name].now), bytes(limits[name].most))}
            </Row>
          ))}
        </dl>
      </section>
      <section>
        <h3>{t.tokens.validations}</h3>
        {details.validations.length === 0 ? <p className="note">{t.tokens.validationsNone}</p> : null}
        {details.validations.map((validation, index) => (
          <section key={index} className="validation">
            <h4>
              <Mark name="reported" /> {t.tokens.validationTitle(validation.type, validation.version, validation.level)}
            </h4>
            <dl className="facts facts-small">
              <Row name={t.tokens.validation.authority}>
                {validation.authority} {validation.country}
              </Row>
              {(['certificate', 'moduleId', 'profile', 'certificateUri', 'vendorUri'] as const).map((name) =>
                validation[name] === '' ? null : (
                  <Row key={name} name={t.tokens.validation[name]}>
                    {validation[name]}
                  </Row>
                ),
              )}
            </dl>
          </section>
        ))}
      </section>
      <section>
        <h3>{t.tokens.slotTitle(slot.number)}</h3>
        <dl className="facts facts-small">
          <Row name={t.tokens.name}>{slot.description}</Row>
          <Row name={t.tokens.maker}>{slot.manufacturer}</Row>
          <Row name={t.tokens.firmware}>{slot.firmware}</Row>
          <Row name={t.tokens.hardware}>{slot.hardware}</Row>
        </dl>
        <Flags flags={slot.flags} />
      </section>
      <section>
        <h3>{t.tokens.interfaces}</h3>
        <dl className="facts facts-small">
          <Row name={t.tokens.library}>
            {library.description} {library.version} ({library.manufacturer})
          </Row>
          <Row name={t.tokens.cryptoki}>{library.cryptoki}</Row>
        </dl>
        {library.interfaces.length === 0 ? (
          <p className="note">{t.tokens.interfacesNone}</p>
        ) : (
          <ul className="flags">
            {library.interfaces.map(({ name, version, forkSafe }, index) => (
              <li key={index}>{t.tokens.interface(name, version, forkSafe)}</li>
            ))}
          </ul>
        )}
      </section>
    </>
  );
}

function Row({ name, children }: { readonly name: string; readonly children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children === '' ? <span className="note">{t.tokens.notReported}</span> : children}</dd>
    </div>
  );
}

/** Warnings with their mark, the rest quiet; the PKCS#11 name always beside. */
function Flags({ flags }: { readonly flags: readonly Flag[] }) {
  return (
    <ul className="flags">
      {flags.map(({ name, meaning }) => {
        const mark = FLAG_MARKS[name];
        return (
          <li key={name}>
            {mark ? <Mark name={mark} /> : <Mark name="plain" quiet />} <span>{meaning}</span> <code className="note">{name}</code>
          </li>
        );
      })}
    </ul>
  );
}

function Pin({ state }: { readonly state: PinState }) {
  return (
    <>
      <Mark name={PIN_MARK[state]} quiet /> {t.tokens.pinState[state]}
    </>
  );
}

type Limit = TokenDetails['limits']['sessions']['most'];
const most = (limit: Limit): string =>
  limit === null ? t.tokens.notReported : limit === 'unlimited' ? t.tokens.unlimited : t.tokens.atMost(limit);
const bytes = (limit: Limit): string => (typeof limit === 'number' ? t.tokens.bytes(limit) : most(limit));
