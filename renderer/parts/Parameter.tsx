/**
 * One parameter of a script, as a field: a number, a text, a choice. Algorithms are grouped by family and explained where
 * they are chosen, and so is where a key lives: nobody should have to know what a word means before choosing it.
 */
import { useId } from 'react';
import type { Placement } from '../../ceremonies/evidence.ts';
import type { Parameters, ParameterValue, Script } from '../../ceremonies/script.ts';
import {
  algorithmFacts,
  algorithmGroups,
  algorithmName,
  areAlgorithms,
  arePlaces,
  placeLegend,
  placeWords,
} from '../algorithms.ts';
import { t } from '../texts.ts';
import { Mark } from './Mark.tsx';

/** All parameters of a script. */
export function ParameterFields({
  script,
  parameters,
  set,
}: {
  readonly script: Script;
  readonly parameters: Parameters;
  readonly set: (parameters: Parameters) => void;
}) {
  const choices = Object.entries(script.parameters).find(([, spec]) => 'one-of' in spec && areAlgorithms(spec['one-of']));
  const algorithm = choices ? String(parameters[choices[0]]) : null;
  return (
    <div className="grid">
      {Object.entries(script.parameters).map(([name, spec]) => {
        const field = { name, value: parameters[name], set: (value: ParameterValue) => set({ ...parameters, [name]: value }) };
        if ('one-of' in spec && areAlgorithms(spec['one-of']))
          return <AlgorithmField key={name} {...field} label={spec.ask} names={spec['one-of']} />;
        if ('one-of' in spec && arePlaces(spec['one-of']) && algorithm !== null)
          return <PlaceField key={name} {...field} algorithm={algorithm} places={spec['one-of']} />;
        return <Plain key={name} {...field} spec={spec} />;
      })}
    </div>
  );
}

interface FieldProps {
  readonly name: string;
  readonly value: ParameterValue | undefined;
  readonly set: (value: ParameterValue) => void;
}

function Plain({ name, spec, value, set }: FieldProps & { readonly spec: Script['parameters'][string] }) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{spec.ask}</label>
      {'one-of' in spec ? (
        <select id={id} name={name} value={String(value)} onChange={(event) => set(event.target.value)}>
          {spec['one-of'].map((choice) => (
            <option key={choice}>{choice}</option>
          ))}
        </select>
      ) : 'whole' in spec ? (
        <input
          id={id}
          name={name}
          type="number"
          min={spec.whole[0]}
          max={spec.whole[1]}
          value={typeof value === 'number' && !Number.isNaN(value) ? value : ''}
          onChange={(event) => set(event.target.valueAsNumber)}
        />
      ) : (
        <input
          id={id}
          name={name}
          maxLength={spec.text}
          value={String(value ?? '')}
          autoComplete="off"
          spellCheck={false}
          onChange={(event) => set(event.target.value)}
        />
      )}
    </div>
  );
}

export function AlgorithmField({
  name,
  label,
  names,
  value,
  set,
}: FieldProps & { readonly label: string; readonly names: readonly string[] }) {
  const id = useId();
  const chosen = String(value);
  const groups = algorithmGroups(names);
  const { sentences, profile } = algorithmFacts(chosen);
  return (
    <div className="field whole-row">
      <label htmlFor={id}>{label}</label>
      <select
        id={id}
        name={name}
        value={chosen}
        aria-describedby={`${id}-means`}
        onChange={(event) => set(event.target.value)}
      >
        {groups.map((group) => (
          <optgroup key={group.title} label={group.title}>
            {group.names.map((choice) => (
              <option key={choice} value={choice}>
                {algorithmName(choice)}
              </option>
            ))}
          </optgroup>
        ))}
      </select>
      <div id={`${id}-means`} className="means" aria-live="polite">
        <p>{sentences.join(' ')}</p>
        {profile === null ? null : (
          <p>
            <span className="tag">{t.keys.draft}</span> <code>{chosen}</code>. {t.keys.draftWhy(profile)}
          </p>
        )}
      </div>
    </div>
  );
}

/** Each choice with one sentence that says where the parts are and what that means. */
export function PlaceField({
  name,
  value,
  set,
  algorithm,
  places,
}: FieldProps & { readonly algorithm: string; readonly places: readonly Placement[] }) {
  const id = useId();
  return (
    <fieldset className="places whole-row">
      <legend>{placeLegend(algorithm)}</legend>
      {places.map((place) => {
        const { name: title, means, impossible } = placeWords(place, algorithm);
        return (
          <label key={place} className={place === value ? 'chosen' : ''}>
            <input
              type="radio"
              name={name}
              value={place}
              checked={place === value}
              aria-labelledby={`${id}-${place}-name`}
              aria-describedby={`${id}-${place}`}
              onChange={() => set(place)}
            />
            <span>
              <strong id={`${id}-${place}-name`}>{title}</strong>
              <span id={`${id}-${place}`} className="means">
                {means}
                {impossible === null ? null : (
                  <span className="impossible">
                    <Mark name="refused" quiet /> {impossible}
                  </span>
                )}
              </span>
            </span>
          </label>
        );
      })}
    </fieldset>
  );
}
